"""The format of questionnaires and their scores, as pydantic models."""

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from fhircryo.mapping.schema import CodeRef, Key, Text
from fhircryo.mapping.yamlfile import Number, StrictModel

#: A canonical URL without version: all versions are the same questionnaire.
Canonical = Annotated[str, StringConstraints(pattern=r"^[^|\s]+$")]


class AnswerCode(StrictModel):
    """The score of a coded answer; no ``system`` for answers that are coded without one."""

    system: Text | None = None
    code: Text
    score: Number


class ScoreCode(CodeRef):
    """A code of Observations whose numeric value is the score."""

    verified: Text


#: A scale of answers is not longer: each of its numbers is looked up.
_MOST_NUMBERS = 10_000


class WholeNumbers(StrictModel):
    """The whole numbers from ``minimum`` to ``maximum``."""

    minimum: Annotated[int, Field(strict=True)]
    maximum: Annotated[int, Field(strict=True)]

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError("minimum is above maximum")
        if self.maximum - self.minimum >= _MOST_NUMBERS:
            raise ValueError(f"an item has at most {_MOST_NUMBERS} numbers as answers")
        return self


def _is_range(value: Any) -> str:
    return "(range)" if isinstance(value, dict | WholeNumbers) else "(list)"


Allowed = Annotated[
    Annotated[WholeNumbers, Tag("(range)")]
    | Annotated[tuple[Number, ...], Field(min_length=1), Tag("(list)")],
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
    recode: dict[Number, Number] = {}

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
    minimum: Number
    maximum: Number
    whole: Annotated[bool, Field(strict=True)] = True

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError("minimum is above maximum")
        return self


class ScoringRule(StrictModel):
    """A score: (``sum`` or ``mean`` of the answered items - subtract) / divide x multiply."""

    method: Literal["sum", "mean"]
    subtract: Number = Decimal(0)
    divide: Annotated[Number, Field(gt=0)] = Decimal(1)
    multiply: Annotated[Number, Field(gt=0)] = Decimal(1)

    def of(self, raw: Fraction) -> Fraction:
        """The score of a sum or a mean of items."""
        return (raw - Fraction(self.subtract)) / Fraction(self.divide) * Fraction(self.multiply)


class ImportantDifference(StrictModel):
    """The minimal important difference of a score, in points.

    If the publication gives a range, the upper end is used, so that a change is important
    according to the whole range.
    """

    points: Annotated[Number, Field(gt=0)]
    source: Text


class Mark(StrictModel):
    """What it means if one of these items has this value, so that the score is read with care."""

    key: Key
    words: Text
    items: tuple[Text, ...] = Field(min_length=1)
    value: Number


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

    @property
    def limits(self) -> tuple[Fraction, Fraction]:
        """The least and the greatest possible score."""
        if self.total is not None:
            return Fraction(self.total.minimum), Fraction(self.total.maximum)
        values = [tuple(item.recode.values()) or item.numbers for item in self.items]
        lowest, highest = [min(one) for one in values], [max(one) for one in values]
        rule = self.score
        if rule.method == "mean":
            low, high = min(lowest), max(highest)
        else:
            low, high = sum(lowest, Decimal(0)), sum(highest, Decimal(0))
        return rule.of(Fraction(low)), rule.of(Fraction(high))


class InstrumentFile(StrictModel):
    """The file of one questionnaire."""

    instrument: Questionnaire
