"""An instrument's score from the answers to its items."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from fhircryo.fhir.wire import Answer
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.schema import Instrument, QuestionnaireItem
from fhircryo.record.items import Reason, Score

Number = int | Decimal
#: The answers of a response by linkId.
Answers = dict[str, list[Answer]]
Codes = Mapping[tuple[str | None, str | None], Number]

# The same answers come again and again; what they give is computed once.
_REMEMBERED = 20_000


class ReadyItem:
    """An item with what reading it needs."""

    def __init__(self, item: QuestionnaireItem) -> None:
        self.key = item.key
        self.links = item.link_ids
        #: The linkId where there is just one.
        self.link = item.link_ids[0] if len(item.link_ids) == 1 else ""
        self.allowed = frozenset(item.numbers)
        #: What an allowed number counts as, where that is another.
        self.recode: dict[Number, Number] = dict(item.recode.items())
        self.codes: Codes = {(answer.system, answer.code): answer.score for answer in item.answers}


class ReadyInstrument:
    """An instrument with what scoring it needs."""

    def __init__(self, instrument: Instrument) -> None:
        self.key = instrument.key
        self.items = tuple(ReadyItem(item) for item in instrument.items)
        self.total_links = instrument.total.link_ids if instrument.total else ()
        self._instrument = instrument
        self._known: dict[tuple[Number, ...], Score] = {}

    def score(self, values: tuple[Number, ...]) -> Score:
        """The score of the answered items' values, exact; or that too few are answered."""
        score = self._known.get(values)
        if score is None:
            score = self._compute(values)
            if len(self._known) < _REMEMBERED:
                self._known[values] = score
        return score

    def _compute(self, values: tuple[Number, ...]) -> Score:
        instrument = self._instrument
        if len(values) < instrument.minimum_answered:
            # Nothing answered is nothing to tell of, where the form has other instruments too.
            detail = f"{len(values)} of {len(self.items)} items answered" if values else ""
            return Score(self.key, problem=Reason.INCOMPLETE, detail=detail)
        rule = instrument.score
        score = sum((Fraction(value) for value in values), Fraction(0))
        if rule.method == "mean":
            score /= len(values)
        score = (score - Fraction(rule.subtract)) / Fraction(rule.divide) * Fraction(rule.multiply)
        return Score(self.key, score.numerator, score.denominator)

    def from_total(self, total: set[Number | None]) -> Score:
        """The score that the total item alone gives."""
        value = next(iter(total))
        rule = self._instrument.total
        if (
            len(total) > 1
            or value is None
            or rule is None
            or (rule.whole and value % 1)
            or not rule.minimum <= value <= rule.maximum
        ):
            return Score(self.key, problem=Reason.INVALID_ITEM, detail="total")
        exact = Fraction(value)
        return Score(self.key, exact.numerator, exact.denominator)


class Instruments:
    """The instruments by the questionnaires that they are answered on.

    ``met``: where the numbers of the overlays go whose questionnaires were met.
    """

    def __init__(self, mappings: Mappings, met: set[int]) -> None:
        self.by_key = {one.key: ReadyInstrument(one) for one in mappings.instruments}
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
        self._unmet = dict(mappings.questionnaire_keys)
        self._met = met

    def of(self, canonical: str, answers: Answers) -> tuple[ReadyInstrument, ...]:
        """By the canonical without version, else by the linkIds that are answered."""
        found = self._by_canonical.get(canonical)
        if found:
            if canonical in self._layers:
                self._met.add(self._layers[canonical])
        else:
            signed = [one for one in self._by_signature if one[0] <= answers.keys()]
            self._met.update(layer for _, _, layer in signed if layer)
            found = tuple(dict.fromkeys(one for _, instruments, _ in signed for one in instruments))
        if found and self._unmet:
            self._meet(answers)
        return found

    def _meet(self, answers: Answers) -> None:
        """Note the overlays that name a linkId or a coded answer of these."""
        for layer, (links, codes) in list(self._unmet.items()):
            if not links.isdisjoint(answers) or any(
                (coding.system, coding.code) in codes
                for given in answers.values()
                for answer in given
                if (coding := answer.value_coding) is not None
            ):
                self._met.add(layer)
                del self._unmet[layer]
