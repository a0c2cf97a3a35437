"""The format of the mapping files, as pydantic models."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from fhircryo.mapping.yamlfile import StrictModel

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]

#: A canonical URL without version: all versions are the same questionnaire.
Canonical = Annotated[str, StringConstraints(pattern=r"^[^|\s]+$")]


class CodeRef(StrictModel):
    """A code of a code system."""

    system: Text
    code: Text


class TextRef(StrictModel):
    """A text, compared without regard to case and white space."""

    text: Text


def _kind(value: Any) -> str:
    is_text = "text" in value if isinstance(value, dict) else isinstance(value, TextRef)
    return "(text)" if is_text else "(code)"


#: A code, or a text used instead of a code.
CodeOrText = Annotated[
    Annotated[CodeRef, Tag("(code)")] | Annotated[TextRef, Tag("(text)")], Discriminator(_kind)
]


class Verified(StrictModel):
    """The name and the source of the meaning of a code or text."""

    display: Annotated[Text | None, Field(description="For human readers")] = None
    verified: Annotated[
        Text, Field(description="The source that confirms the meaning, or who checked it and where")
    ]


class Meaning(Verified):
    """The conditions under which a code or text counts, and the source of its meaning."""

    body_site: Annotated[
        tuple[CodeOrText, ...], Field(description="Counts only with one of these body sites")
    ] = ()
    category: Annotated[
        tuple[CodeOrText, ...], Field(description="Counts only with one of these categories")
    ] = ()
    specimen: Annotated[
        tuple[CodeOrText, ...], Field(description="Counts only with one of these specimens")
    ] = ()
    method: Annotated[
        tuple[CodeOrText, ...], Field(description="Counts only with one of these methods")
    ] = ()
    status: Annotated[
        tuple[Text, ...], Field(description="Counts only with one of these statuses")
    ] = ()
    unit: Annotated[Text | None, Field(description="Unit of results that state none; PSA only")] = (
        None
    )
    kind: Annotated[
        Text | None,
        Field(description="Kind of therapy or radiotherapy; unset in an overlay: by resource type"),
    ] = None
    value: Annotated[
        tuple[CodeOrText, ...], Field(description="Findings: counts only with one of these values")
    ] = ()
    any_value: Annotated[
        Literal[True] | None, Field(description="Findings: counts with any value, and with none")
    ] = None
    names_prostate: Annotated[
        bool, Field(strict=True, description="Metastases: the code names the prostate as primary")
    ] = False
    beside: Annotated[
        tuple[CodeRef, ...],
        Field(description="PSA: codes that may stand beside this one and do not contradict it"),
    ] = ()

    @model_validator(mode="after")
    def _value_or_any(self) -> Self:
        if self.value and self.any_value:
            raise ValueError("value and any_value exclude each other")
        return self


#: The fields of :class:`Meaning` that are conditions.
CONDITION_FIELDS = ("body_site", "category", "specimen", "method", "status")

Descendants = Annotated[
    Literal["prefix"] | None,
    Field(description="prefix: all codes of the system that begin with this one count as well"),
]


_CATEGORY = re.compile(r"[A-Z][0-9]{2}")


class ListedCode(CodeRef, Verified):
    """One or more codes with the same meaning.

    ``system`` may be the name of a group of systems, and then stands for all of them. ``to``: the
    last of a range of ICD-10 categories that begins with ``code``. ``more``: further codes to which
    the same applies, each with its name.
    """

    descendants: Descendants = None
    to: Annotated[
        Text | None, Field(description="Last category of a range (C00 to C43); needs descendants")
    ] = None
    more: Annotated[
        dict[Text, Text], Field(description="Further codes like this one, each with its name")
    ] = {}

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.to is None:
            return self
        if self.descendants is None:
            raise ValueError("to needs descendants: prefix")
        ends = (self.code, self.to)
        if (
            not all(map(_CATEGORY.fullmatch, ends))
            or ends[0][0] != ends[1][0]
            or ends
            != (
                min(ends),
                max(ends),
            )
        ):
            raise ValueError("a range is of categories of one letter, such as C00 to C43")
        return self

    def listed(self) -> Iterator[tuple[str, str | None]]:
        """Yield each code that the entry lists, with its name."""
        yield self.code, self.display
        yield from self.more.items()
        if self.to is not None:
            for number in range(int(self.code[1:]) + 1, int(self.to[1:]) + 1):
                yield f"{self.code[0]}{number:02}", self.display


class ConceptCode(ListedCode, Meaning):
    """A code of a concept."""


class ConceptText(TextRef, Meaning):
    """A text of a concept; counts only where nothing is coded."""


class Concept(StrictModel):
    """A concept and its codes."""

    words: Text
    codes: tuple[ConceptCode, ...]
    texts: tuple[ConceptText, ...] = ()
    contradicted_by: Annotated[
        tuple[Text, ...],
        Field(description="Systems of which any other code beside one of the concept excludes it"),
    ] = ()


class ConceptsFile(StrictModel):
    """The concepts.

    ``systems``: groups of code systems that are editions of one classification. Their codes are
    compared without dots and in capitals, and an entry may name the group as its system.
    """

    systems: dict[Key, Annotated[tuple[Text, ...], Field(min_length=1)]]
    concepts: dict[Key, Concept]


class KindText(TextRef):
    """A text of a kind of complication; counts only where nothing is coded."""

    verified: Text


class ComplicationKind(StrictModel):
    """A kind of complication and its codes."""

    words: Text
    codes: tuple[ListedCode, ...]


class KindsFile(StrictModel):
    complication_kinds: dict[Key, ComplicationKind]


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("a status occurs twice")
    return values


_Once = AfterValidator(_each_once)
_Some = Field(min_length=1)
# The statuses of FHIR R4: https://hl7.org/fhir/R4/valueset-observation-status.html and, likewise,
# event-status, questionnaire-answers-status, condition-ver-status, condition-clinical,
# adverse-event-actuality, medicationrequest-status, medicationrequest-intent,
# medication-statement-status (with ``recorded`` of R5), medication-admin-status.
ObservationStatus = Literal[
    "registered",
    "preliminary",
    "final",
    "amended",
    "corrected",
    "cancelled",
    "entered-in-error",
    "unknown",
]
ProcedureStatus = Literal[
    "preparation",
    "in-progress",
    "not-done",
    "on-hold",
    "stopped",
    "completed",
    "entered-in-error",
    "unknown",
]
ResponseStatus = Literal["in-progress", "completed", "amended", "entered-in-error", "stopped"]
Verification = Literal[
    "unconfirmed", "provisional", "differential", "confirmed", "refuted", "entered-in-error"
]
ClinicalStatus = Literal["active", "recurrence", "relapse", "inactive", "remission", "resolved"]
Actuality = Literal["actual", "potential"]
RequestStatus = Literal[
    "active",
    "on-hold",
    "cancelled",
    "completed",
    "entered-in-error",
    "stopped",
    "draft",
    "unknown",
]
Intent = Literal[
    "proposal",
    "plan",
    "order",
    "original-order",
    "reflex-order",
    "filler-order",
    "instance-order",
    "option",
]
StatementStatus = Literal[
    "active",
    "completed",
    "entered-in-error",
    "intended",
    "stopped",
    "on-hold",
    "unknown",
    "not-taken",
    "recorded",
]
AdministrationStatus = Literal[
    "in-progress", "not-done", "on-hold", "completed", "entered-in-error", "stopped", "unknown"
]

OngoingStatus = Literal["active", "on-hold", "in-progress"]

ObservationStatuses = Annotated[tuple[ObservationStatus, ...], _Some, _Once]
ProcedureStatuses = Annotated[tuple[ProcedureStatus, ...], _Some, _Once]
ResponseStatuses = Annotated[tuple[ResponseStatus, ...], _Some, _Once]
Verifications = Annotated[tuple[Verification, ...], _Some, _Once]
Actualities = Annotated[tuple[Actuality, ...], _Some, _Once]
RequestStatuses = Annotated[tuple[RequestStatus, ...], _Some, _Once]
Intents = Annotated[tuple[Intent, ...], _Some, _Once]
StatementStatuses = Annotated[tuple[StatementStatus, ...], _Some, _Once]
AdministrationStatuses = Annotated[tuple[AdministrationStatus, ...], _Some, _Once]
OngoingStatuses = Annotated[tuple[OngoingStatus, ...], _Some, _Once]


class Statuses(StrictModel):
    """Which statuses count.

    Those of Observations and QuestionnaireResponses are in order of precedence.
    """

    observation: ObservationStatuses
    procedure: ProcedureStatuses
    procedure_complete: ProcedureStatuses
    questionnaire_response: ResponseStatuses
    condition_verification: Verifications
    adverse_event_actuality: Actualities
    salvage_procedure: ProcedureStatuses
    medication_request: RequestStatuses
    medication_request_intent: Intents
    medication_statement: StatementStatuses
    medication_administration: AdministrationStatuses
    therapy_ongoing: OngoingStatuses


class StatusesFile(StrictModel):
    statuses: Statuses


Factors = dict[Text, Annotated[Decimal, Field(gt=0)]]


class UnitTable(StrictModel):
    """Spellings of units and their factor to ``target``."""

    target: Text
    factors: Factors


class UnitsFile(StrictModel):
    units: dict[Key, UnitTable]


class GradeCode(CodeRef):
    grade: Text
    verified: Text


class GradeText(TextRef):
    """A text that states a grade."""

    grade: Text
    verified: Text


class Scale(StrictModel):
    """A grading scale.

    ``order``: its grades, mildest first. ``unspecified``: for a grade without subgrade (III) the
    worst grade that it may mean (IIIb). ``suffixes``: additions to a grade that are left out when
    it is read (IIIb-d). ``fatal``: the grade of a complication of which the patient died.
    """

    words: Text
    source: Text
    system: Text
    order: tuple[Text, ...]
    unspecified: dict[Text, Text] = {}
    suffixes: tuple[Text, ...] = ()
    fatal: Text
    codes: tuple[GradeCode, ...] = ()

    @model_validator(mode="after")
    def _grades_are_of_the_scale(self) -> Self:
        if len(set(self.order)) != len(self.order):
            raise ValueError("a grade occurs twice in order")
        named = [
            *self.unspecified,
            *self.unspecified.values(),
            self.fatal,
            *(c.grade for c in self.codes),
        ]
        for grade in named:
            if grade not in self.order:
                raise ValueError(f"{grade!r} is not a grade of this scale")
        return self


class GradeScales(StrictModel):
    extensions: tuple[Text, ...]
    scales: dict[Key, Scale]


class GradesFile(StrictModel):
    grades: GradeScales


class AnswerCode(StrictModel):
    """The score of a coded answer; no ``system`` for answers that are coded without one."""

    system: Text | None = None
    code: Text
    score: Decimal


class ScoreCode(CodeRef):
    """A code of Observations whose numeric value is the score."""

    verified: Text


class WholeNumbers(StrictModel):
    """The whole numbers from ``minimum`` to ``maximum``."""

    minimum: Annotated[int, Field(strict=True)]
    maximum: Annotated[int, Field(strict=True)]

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError("minimum is above maximum")
        return self


def _is_range(value: Any) -> str:
    return "(range)" if isinstance(value, dict | WholeNumbers) else "(list)"


Allowed = Annotated[
    Annotated[WholeNumbers, Tag("(range)")]
    | Annotated[tuple[Decimal, ...], Field(min_length=1), Tag("(list)")],
    Discriminator(_is_range),
]


class QuestionnaireItem(StrictModel):
    """An item of a questionnaire.

    ``link_ids``: the linkIds under which it is answered. ``allowed``: the numbers that are valid
    answers. ``recode``: the score of each allowed number, if it is not the number itself.
    """

    key: Text
    link_ids: tuple[Text, ...] = Field(min_length=1)
    allowed: Allowed
    answers: tuple[AnswerCode, ...] = ()
    recode: dict[Decimal, Decimal] = {}

    @model_validator(mode="after")
    def _recodes_what_is_allowed(self) -> Self:
        if self.recode and set(self.recode) != set(self.numbers):
            raise ValueError("recode must list exactly the allowed numbers")
        return self

    @property
    def numbers(self) -> tuple[Decimal, ...]:
        """The allowed numbers, as decimals."""
        if isinstance(self.allowed, WholeNumbers):
            return tuple(map(Decimal, range(self.allowed.minimum, self.allowed.maximum + 1)))
        return self.allowed


class Total(StrictModel):
    """The linkIds and the valid range of a score that is recorded as a single value.

    ``whole``: only whole numbers are valid.
    """

    link_ids: tuple[Text, ...] = ()
    minimum: Decimal
    maximum: Decimal
    whole: Annotated[bool, Field(strict=True)] = True

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError("minimum is above maximum")
        return self


class ScoringRule(StrictModel):
    """A score: (``sum`` or ``mean`` of the answered items - subtract) / divide x multiply."""

    method: Literal["sum", "mean"]
    subtract: Decimal = Decimal(0)
    divide: Annotated[Decimal, Field(gt=0)] = Decimal(1)
    multiply: Annotated[Decimal, Field(gt=0)] = Decimal(1)


class ImportantDifference(StrictModel):
    """The minimal important difference of a score, in points.

    If the publication gives a range, the upper end is used, so that a change is important
    according to the whole range.
    """

    points: Annotated[Decimal, Field(gt=0)]
    source: Text


class Mark(StrictModel):
    """What it means if one of these items has this value, so that the score is read with care."""

    key: Key
    words: Text
    items: tuple[Text, ...] = Field(min_length=1)
    value: Decimal


class Domain(StrictModel):
    """A score of some items of a questionnaire; published as an instrument of its own."""

    key: Key
    words: Text
    worse: Literal["higher", "lower"]
    items: tuple[Text, ...] = Field(min_length=1)
    minimum_answered: int = Field(ge=1)
    score: ScoringRule
    total: Total | None = None
    observations: tuple[ScoreCode, ...] = ()
    minimal_important_difference: ImportantDifference | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self.check()
        return self

    def check(self) -> None:
        """Raise a ValueError if fields contradict each other."""
        for item in self.items:
            if self.items.count(item) > 1:
                raise ValueError(f"the item {item} occurs twice")
        if self.minimum_answered > len(self.items):
            raise ValueError("minimum_answered is greater than the number of items")
        if self.observations and self.total is None:
            raise ValueError("observations need total: the valid range of scores")


class Questionnaire(StrictModel):
    """A questionnaire with one score, or with one score per domain."""

    key: Key
    words: Text
    source: Text
    canonicals: tuple[Canonical, ...] = ()
    signatures: tuple[Annotated[tuple[Text, ...], Field(min_length=1)], ...] = ()
    worse: Literal["higher", "lower"] | None = None
    items: tuple[QuestionnaireItem, ...] = Field(min_length=1)
    minimum_answered: Annotated[int, Field(ge=1)] | None = None
    score: ScoringRule | None = None
    total: Total | None = None
    observations: tuple[ScoreCode, ...] = ()
    minimal_important_difference: ImportantDifference | None = None
    domains: tuple[Domain, ...] = ()
    marks: Annotated[
        tuple[Mark, ...], Field(description="Answers with which a score is read with care")
    ] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not (self.canonicals or self.signatures or self.codes):
            raise ValueError("canonicals, signatures or observations are needed to find the score")
        if self.domains:
            self._check_domains()
        else:
            self._only_score().check()
        links = [link for item in self.items for link in item.link_ids]
        links += [link for total in self.totals for link in total.link_ids]
        for link in links:
            if links.count(link) > 1:
                raise ValueError(f"the linkId {link} occurs twice")
        self._check_marks()
        return self

    def _check_marks(self) -> None:
        items = {item.key: item for item in self.items}
        for mark in self.marks:
            for key in mark.items:
                if key not in items:
                    raise ValueError(f"mark {mark.key}: there is no item {key}")
                if mark.value not in items[key].numbers:
                    raise ValueError(f"mark {mark.key}: {mark.value} is no answer of item {key}")

    def _check_domains(self) -> None:
        keys = [item.key for item in self.items]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"the item {key} occurs twice")
        for name in (
            *("worse", "minimum_answered", "score", "total", "observations"),
            "minimal_important_difference",
        ):
            if getattr(self, name):
                raise ValueError(f"{name} belongs to each domain, not to the questionnaire")
        for domain in self.domains:
            for item in domain.items:
                if item not in keys:
                    raise ValueError(f"domain {domain.key}: there is no item {item}")

    def _only_score(self) -> Domain:
        """Return the only score of a questionnaire without domains."""
        if self.worse is None or self.minimum_answered is None or self.score is None:
            raise ValueError("worse, minimum_answered and score are required, or domains")
        return Domain.model_construct(
            key=self.key,
            words=self.words,
            worse=self.worse,
            items=tuple(item.key for item in self.items),
            minimum_answered=self.minimum_answered,
            score=self.score,
            total=self.total,
            observations=self.observations,
            minimal_important_difference=self.minimal_important_difference,
        )

    @property
    def scores(self) -> tuple[Domain, ...]:
        """The domains; for a questionnaire without domains, its only score."""
        return self.domains or (self._only_score(),)

    @property
    def totals(self) -> list[Total]:
        """The totals of all scores."""
        return [score.total for score in self.scores if score.total is not None]

    @property
    def codes(self) -> list[ScoreCode]:
        """The Observation codes of all scores."""
        return [code for score in self.scores for code in score.observations]

    def instruments(self) -> "tuple[Instrument, ...]":
        """Return each score as an instrument."""
        items = {item.key: item for item in self.items}
        return tuple(
            Instrument(
                key=score.key,
                words=score.words,
                worse=score.worse,
                items=tuple(items[key] for key in score.items),
                minimum_answered=score.minimum_answered,
                score=score.score,
                total=score.total,
                minimal_important_difference=score.minimal_important_difference,
                marks=tuple(
                    mark.model_copy(update={"items": concerned})
                    for mark in self.marks
                    if (concerned := tuple(key for key in mark.items if key in score.items))
                ),
            )
            for score in self.scores
        )


class Instrument(StrictModel):
    """One score with its items: of a whole questionnaire, or of one of its domains.

    ``marks``: the score carries the key of a mark if one of the mark's items is answered with its
    value, before the item is recoded.
    """

    key: Key
    words: Text
    worse: Literal["higher", "lower"]
    items: tuple[QuestionnaireItem, ...]
    minimum_answered: int
    score: ScoringRule
    total: Total | None = None
    minimal_important_difference: ImportantDifference | None = None
    marks: tuple[Mark, ...] = ()


class InstrumentFile(StrictModel):
    instrument: Questionnaire
