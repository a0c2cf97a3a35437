"""The format of the mapping files, as pydantic models."""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from fhircryo.mapping.yamlfile import Written

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


class CodeRef(Written):
    """A code of a code system."""

    system: Text
    code: Text


class ConceptCode(CodeRef):
    """A code of a concept: with what it must stand together, and where it was verified."""

    display: Text | None = None
    verified: Text
    body_site: tuple[CodeRef, ...] = ()
    descendants: Literal["prefix"] | None = None


class Concept(Written):
    """What codes mean here."""

    words: Text
    codes: tuple[ConceptCode, ...]


class ConceptAddition(Written):
    """What a site adds to a concept."""

    codes: tuple[ConceptCode, ...]


class ConceptsFile(Written):
    concepts: dict[Key, Concept]


class OverlayFile(Written):
    """A site's own codes, laid over the shipped ones."""

    concepts: dict[Key, ConceptAddition]


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("a status stands twice")
    return values


StatusList = Annotated[tuple[Text, ...], Field(min_length=1), AfterValidator(_each_once)]


class Statuses(Written):
    """Which statuses count; for Observations in order of precedence."""

    observation: StatusList
    procedure: StatusList
    procedure_complete: StatusList
    questionnaire_response: StatusList
    condition_verification: StatusList
    adverse_event_actuality: StatusList
    salvage_procedure: StatusList
    medication_request: StatusList
    medication_request_intent: StatusList
    medication_statement: StatusList
    medication_administration: StatusList


class StatusesFile(Written):
    statuses: Statuses


class UnitTable(Written):
    """Spellings of units and their factor to ``target``."""

    target: Text
    factors: dict[Text, Annotated[Decimal, Field(gt=0)]]


class UnitsFile(Written):
    units: dict[Key, UnitTable]


class GradeCode(CodeRef):
    grade: Text
    verified: Text


class Scale(Written):
    """A grading scale, mildest grade first."""

    words: Text
    source: Text
    system: Text
    order: tuple[Text, ...]
    unspecified: dict[Text, Text] = {}
    codes: tuple[GradeCode, ...] = ()

    @model_validator(mode="after")
    def _grades_are_of_the_scale(self) -> Self:
        if len(set(self.order)) != len(self.order):
            raise ValueError("a grade stands twice in order")
        named = [
            *self.unspecified,
            *self.unspecified.values(),
            *(c.grade for c in self.codes),
        ]
        for grade in named:
            if grade not in self.order:
                raise ValueError(f"{grade!r} is not a grade of this scale")
        return self


class Grades(Written):
    extensions: tuple[Text, ...]
    scales: dict[Key, Scale]


class GradesFile(Written):
    grades: Grades


class AnswerCode(CodeRef):
    score: Decimal


class Item(Written):
    """An item of an instrument: where its answer stands, which numbers it may have."""

    key: Text
    link_ids: tuple[Text, ...] = Field(min_length=1)
    allowed: tuple[Decimal, ...] = Field(min_length=1)
    answers: tuple[AnswerCode, ...] = ()


class Total(Written):
    """The item that carries the whole score; whole numbers of the range."""

    link_ids: tuple[Text, ...] = Field(min_length=1)
    minimum: Decimal
    maximum: Decimal

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError("minimum is above maximum")
        return self


class Score(Written):
    """``sum`` or ``mean`` of the answered items; then (it - subtract) / divide x multiply."""

    method: Literal["sum", "mean"]
    subtract: Decimal = Decimal(0)
    divide: Annotated[Decimal, Field(gt=0)] = Decimal(1)
    multiply: Annotated[Decimal, Field(gt=0)] = Decimal(1)


class Instrument(Written):
    """A questionnaire's score."""

    key: Key
    words: Text
    source: Text
    canonicals: tuple[Text, ...] = ()
    signature: tuple[Text, ...] = ()
    worse: Literal["higher", "lower"]
    items: tuple[Item, ...] = Field(min_length=1)
    minimum_answered: int = Field(ge=1)
    score: Score
    total: Total | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.canonicals and not self.signature:
            raise ValueError("neither canonicals nor signature: no response could be found")
        if self.minimum_answered > len(self.items):
            raise ValueError("minimum_answered is more than there are items")
        keys = [item.key for item in self.items]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"the item {key} stands twice")
        links = [link for item in self.items for link in item.link_ids]
        links += self.total.link_ids if self.total else ()
        if len(set(links)) != len(links):
            raise ValueError("a linkId stands twice")
        return self


class InstrumentFile(Written):
    instrument: Instrument
