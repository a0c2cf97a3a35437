"""What a survey counts while it reads a source."""

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from fhircryo.fhir.wire import CodeableConcept
from fhircryo.mapping.tokens import Token

#: Values are shown only if at least this many results, of at least this many patients, have them.
MIN_SHOWN = 5
#: A text of more characters is no name: it is not shown, and all such texts are counted together.
MAX_TEXT_LENGTH = 120
LONG_TEXT = "(a longer text)"
#: Stands for the units in texts that too few patients have.
NOT_SHOWN = "(not shown)"
AS_NUMBER = "numbers"
AS_TEXT = "numbers as text"
_MAX_SAMPLE = 20_000
# A number of a larger or smaller order of magnitude is no measurement.
_MAX_EXPONENT = 18

Number = int | Decimal


def shortened(text: str) -> str:
    """Return a text on one line, or LONG_TEXT in place of a long one."""
    words = " ".join(text.split())
    return words if len(words) <= MAX_TEXT_LENGTH else LONG_TEXT


class NumberSample:
    """The numbers of results; of very many, only every second is kept, then every fourth, etc."""

    __slots__ = ("_numbers", "_patients", "_sample", "_step", "count")

    def __init__(self) -> None:
        self.count = 0
        self._numbers = 0
        self._sample: list[Number] = []
        self._step = 1
        self._patients: set[int] = set()

    def add(self, value: Number | None, patient: int) -> None:
        """Count a result and sample its number; ``patient``: 0 if unknown."""
        self.count += 1
        if value is None or (value and abs(Decimal(value).adjusted()) > _MAX_EXPONENT):
            return
        if self._numbers % self._step == 0:
            self._sample.append(value)
            if len(self._sample) > _MAX_SAMPLE:
                self._thin()
        self._numbers += 1
        if patient and len(self._patients) < MIN_SHOWN:
            self._patients.add(patient)

    @property
    def of_few(self) -> bool:
        """Whether the numbers are of too few patients to be shown."""
        return len(self._patients) < MIN_SHOWN

    def quartiles(self) -> tuple[Number, ...]:
        """Return the quartiles by the inclusive method; none if results or patients are too few."""
        if self.of_few or len(self._sample) < MIN_SHOWN:
            return ()
        numbers = [Decimal(number) for number in self._sample]
        return tuple(statistics.quantiles(numbers, n=4, method="inclusive"))

    def merge(self, other: "NumberSample") -> None:
        """Add the results of another sample."""
        for sample in (self, other):
            while sample._step < max(self._step, other._step):
                sample._thin()
        self.count += other.count
        self._numbers += other._numbers
        self._sample += other._sample
        if len(self._sample) > _MAX_SAMPLE:
            self._thin()
        self._patients |= other._patients

    def _thin(self) -> None:
        del self._sample[1::2]
        self._step *= 2


class ResultKind(NamedTuple):
    """How a result is recorded, and the unit in which it is read."""

    how: str
    unit: str = ""


#: A value of an element: as conditions compare it, or a coding with its display.
Value = Token | tuple[str, str, str]


class CodeOrText(NamedTuple):
    """How a resource is coded: by its codings (system, code, display), or by its text alone."""

    codings: tuple[tuple[str, str, str], ...]
    text: str


def code_or_text(concept: CodeableConcept | None) -> CodeOrText:
    """Return how a CodeableConcept is coded."""
    if concept is None:
        return CodeOrText((), "")
    codings = tuple(
        [
            (one.system or "", one.code, one.display or "")
            for one in concept.coding or ()
            if one.code
        ]
    )
    return CodeOrText(codings, "" if codings else shortened(concept.text or ""))


class MappingTarget(NamedTuple):
    """A concept or instrument to which a code or text is mapped; ``label``: that code or text."""

    name: str
    label: str


class CodeCounts:
    """What is counted of one code or text in one element of one resource type.

    ``text``: the text beside the codings of the first resource. ``may_be``: the concepts and
    instruments that the code is or may be; further elements are counted only if there are any.
    ``stated``: the concepts that its values suggest, whatever the code, with these values.
    """

    __slots__ = (
        "count",
        "first",
        "last",
        "may_be",
        "meanings",
        "other_elements",
        "patients",
        "results",
        "stated",
        "text",
    )

    def __init__(self, text: str) -> None:
        self.text = text
        self.may_be: frozenset[str] = frozenset()
        self.count = 0
        self.patients: set[int] = set()
        self.first = ""
        self.last = ""
        self.meanings: Counter[tuple[MappingTarget, ...]] = Counter()
        self.results: dict[ResultKind, NumberSample] = {}
        self.other_elements: dict[str, Counter[Value]] = {}
        self.stated: dict[str, Counter[Value]] = {}

    def add(self, patient: int, year: str, meanings: tuple[MappingTarget, ...]) -> None:
        """Count a resource; ``patient``: 0 if unknown."""
        self.count += 1
        if patient:
            self.patients.add(patient)
        if year:
            if not self.first or year < self.first:
                self.first = year
            if year > self.last:
                self.last = year
        self.meanings[meanings] += 1

    def add_other_element(self, element: str, values: Iterable[Value]) -> None:
        """Count the values of another element of the same resource."""
        counted = self.other_elements.get(element)
        if counted is None:
            counted = self.other_elements[element] = Counter()
        for value in set(values):
            counted[value] += 1

    def add_stated(self, concept: str, value: Value) -> None:
        """Count a value that suggests a concept of the code beside it."""
        self.stated.setdefault(concept, Counter())[value] += 1


@dataclass
class GradePlaceCounts:
    """What is counted at a place where a grade may stand: how often it is filled, and with what.

    ``values``: (system, code, display), or a text.
    """

    count: int = 0
    patients: set[int] = field(default_factory=set)
    values: Counter[tuple[str, str, str] | str] = field(default_factory=Counter)


@dataclass
class LinkIdCounts:
    """The answers to a linkId: how many of each type, the numbers, and the codes.

    ``some_patients``: the first patients who answered, up to MIN_SHOWN.
    """

    types: Counter[str] = field(default_factory=Counter)
    numbers: Counter[Number] = field(default_factory=Counter)
    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    some_patients: set[int] = field(default_factory=set)

    def merge(self, other: "LinkIdCounts") -> None:
        """Add the answers of other responses."""
        self.types += other.types
        self.numbers += other.numbers
        self.codes += other.codes
        self.some_patients |= other.some_patients


@dataclass
class FormCounts:
    """The responses to one questionnaire.

    ``known_as``: for how many responses the mappings know which instruments they answer.
    """

    count: int = 0
    patients: set[int] = field(default_factory=set)
    first: str = ""
    last: str = ""
    links: dict[str, LinkIdCounts] = field(default_factory=dict)
    known_as: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def add(self, patient: int, year: str) -> None:
        """Count a response; ``patient``: 0 if unknown."""
        self.count += 1
        if patient:
            self.patients.add(patient)
        if year:
            self.first = min(self.first or year, year)
            self.last = max(self.last, year)

    def merge(self, other: "FormCounts") -> None:
        """Add the responses that answer only a part of this questionnaire."""
        self.count += other.count
        self.patients |= other.patients
        self.first = min(filter(None, (self.first, other.first)), default="")
        self.last = max(self.last, other.last)
        self.known_as += other.known_as
        for name, link in other.links.items():
            self.links[name].merge(link)


#: The resource type, the element, and the code or text.
CodeKey = tuple[str, str, CodeOrText]
#: The questionnaire's canonical URL without version; the linkIds if there is no canonical URL.
FormKey = tuple[str, frozenset[str]]


@dataclass
class SourceCounts:
    """Everything that is counted in a source.

    ``patients``: a number for each patient's id; ``places``: by the kind of place and its name.
    """

    types: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    patients: dict[str, int] = field(default_factory=dict)
    codes: dict[CodeKey, CodeCounts] = field(default_factory=dict)
    places: dict[tuple[str, str], GradePlaceCounts] = field(default_factory=dict)
    forms: dict[FormKey, FormCounts] = field(default_factory=dict)
