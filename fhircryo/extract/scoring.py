"""Computes the score of an instrument from the answers to its items."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from fhircryo.extract.numbers import is_sized
from fhircryo.fhir.wire import Answer
from fhircryo.mapping.instrument_schema import (
    Instrument,
    QuestionnaireItem,
)
from fhircryo.mapping.load import Mappings
from fhircryo.record.items import Reason, Score

Number = int | Decimal
#: The answers of a response, by linkId.
Answers = dict[str, list[Answer]]
#: The scores of coded answers, by system and code.
AnswerScores = Mapping[tuple[str | None, str | None], Number]

# The same combinations of answers recur; the score of each is cached, up to this number.
_CACHED_SCORES = 20_000


#: A score is sent between processes as two integers of this size.
_BITS = 63


class ItemScorer:
    """An item of an instrument, prepared for reading answers."""

    def __init__(self, item: QuestionnaireItem) -> None:
        self.key = item.key
        self.links = item.link_ids
        #: The linkId, if there is only one.
        self.link = item.link_ids[0] if len(item.link_ids) == 1 else ""
        #: The allowed numbers, each in the form of the mapping: 5 for an answer of 5.000.
        self.allowed: dict[Number, Number] = {one: one for one in item.numbers}
        #: The score of an allowed number, if the item recodes its numbers.
        self.recode: dict[Number, Number] = dict(item.recode.items())
        self.codes: AnswerScores = {
            (answer.system, answer.code): answer.score for answer in item.answers
        }


class InstrumentScorer:
    """An instrument, prepared for scoring."""

    def __init__(self, instrument: Instrument) -> None:
        self.key = instrument.key
        self.items = tuple(ItemScorer(item) for item in instrument.items)
        self.total_links = instrument.total.link_ids if instrument.total else ()
        self._instrument = instrument
        self._known: dict[tuple[Number | None, ...], Score] = {}

    def score(self, numbers: tuple[Number | None, ...]) -> Score:
        """Return the exact score with its marks, or that too few items are answered.

        ``numbers``: the allowed number of each item, in order (None: it is not answered).
        """
        score = self._known.get(numbers)
        if score is None:
            score = self._compute(numbers)
            if len(self._known) < _CACHED_SCORES:
                self._known[numbers] = score
        return score

    def _compute(self, numbers: tuple[Number | None, ...]) -> Score:
        instrument = self._instrument
        answered = [
            (item, number)
            for item, number in zip(self.items, numbers, strict=True)
            if number is not None
        ]
        if len(answered) < instrument.minimum_answered:
            # No item answered gives no detail: the questionnaire may contain other instruments.
            detail = f"{len(answered)} of {len(self.items)} items answered" if answered else ""
            return Score(self.key, problem=Reason.INCOMPLETE, detail=detail)
        rule = instrument.score
        score = sum((Fraction(item.recode.get(one, one)) for item, one in answered), Fraction(0))
        if rule.method == "mean":
            score /= len(answered)
        score = rule.of(score)
        marks = tuple(
            mark.key
            for mark in instrument.marks
            if any(item.key in mark.items and one == mark.value for item, one in answered)
        )
        return Score(self.key, score.numerator, score.denominator, marks=marks)

    def from_total(self, total: set[Number | None]) -> Score:
        """Return the score that is recorded as a total; ``total``: its distinct values."""
        value = next(iter(total))
        rule = self._instrument.total
        if (
            len(total) > 1
            or value is None
            or rule is None
            or not is_sized(value)
            or not rule.minimum <= value <= rule.maximum
            or (rule.whole and value % 1)
        ):
            return Score(self.key, problem=Reason.INVALID_ITEM, detail="total")
        exact = Fraction(value)
        if exact.numerator.bit_length() > _BITS:
            return Score(self.key, problem=Reason.INVALID_ITEM, detail="total")
        return Score(self.key, exact.numerator, exact.denominator)


class InstrumentFinder:
    """Finds the instruments that a response answers.

    ``met``: receives the numbers of the overlays of which something occurs in a response.
    """

    def __init__(self, mappings: Mappings, met: set[int]) -> None:
        self.by_key = {one.key: InstrumentScorer(one) for one in mappings.instruments}
        self._by_canonical = {
            canonical: tuple(self.by_key[one.key] for one in instruments)
            for canonical, instruments in mappings.canonicals.items()
        }
        self._by_signature = [
            (links, tuple(self.by_key[one.key] for one in instruments), layer)
            for links, instruments, layer in mappings.signatures
        ]
        self._layers = {
            canonical: layer
            for (kind, canonical), layer in mappings.overlay_keys.items()
            if kind == "canonical"
        }
        self._unmatched = dict(mappings.questionnaire_keys)
        self._met = met

    def find(self, canonical: str, answers: Answers) -> tuple[InstrumentScorer, ...]:
        """Return the instruments by canonical (without version), else by the answered linkIds."""
        found = self._by_canonical.get(canonical)
        if found:
            if canonical in self._layers:
                self._met.add(self._layers[canonical])
        else:
            signed = [one for one in self._by_signature if one[0] <= answers.keys()]
            self._met.update(layer for _, _, layer in signed if layer)
            found = tuple(dict.fromkeys(one for _, instruments, _ in signed for one in instruments))
        if found and self._unmatched:
            self._meet(answers)
        return found

    def _meet(self, answers: Answers) -> None:
        """Record the overlays that define a linkId or a coded answer among these answers."""
        for layer, (links, codes) in list(self._unmatched.items()):
            if not links.isdisjoint(answers) or any(
                (coding.system, coding.code) in codes
                for given in answers.values()
                for answer in given
                if (coding := answer.value_coding) is not None
            ):
                self._met.add(layer)
                del self._unmatched[layer]
