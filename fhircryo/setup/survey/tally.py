"""What is counted while a source is read."""

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from fhircryo.mapping.code_index import Token

#: With results of fewer patients, or fewer results, nothing is said of the values.
FEW = 5
#: Texts that are longer name nothing; they are counted together.
LONGEST = 120
LONG_TEXT = "(a longer text)"
#: In the place of what few patients have behind a number in a text.
NOT_SHOWN = "(not shown)"
AS_NUMBER = "numbers"
AS_TEXT = "numbers as text"
_MOST_KEPT = 20_000
# What is larger or smaller by more than this many digits is no measurement.
_DIGITS = 18

Number = int | Decimal


def shortened(text: str) -> str:
    """A text on one line; a long one is not shown."""
    words = " ".join(text.split())
    return words if len(words) <= LONGEST else LONG_TEXT


class Values:
    """Numbers; of very many every second is kept, then every fourth, and so on."""

    __slots__ = ("_kept", "_numbers", "_patients", "_step", "count")

    def __init__(self) -> None:
        self.count = 0
        self._numbers = 0
        self._kept: list[Number] = []
        self._step = 1
        self._patients: set[int] = set()

    def add(self, value: Number | None, patient: int) -> None:
        """Count a result of a patient (0: of nobody known), and keep its number."""
        self.count += 1
        if value is None or (value and abs(Decimal(value).adjusted()) > _DIGITS):
            return
        if self._numbers % self._step == 0:
            self._kept.append(value)
            if len(self._kept) > _MOST_KEPT:
                self._thin()
        self._numbers += 1
        if patient and len(self._patients) < FEW:
            self._patients.add(patient)

    @property
    def of_few(self) -> bool:
        """Whether the numbers are of too few patients to be told of."""
        return len(self._patients) < FEW

    def quartiles(self) -> tuple[Number, ...]:
        """The three, by the inclusive method; none of too few results or patients."""
        if self.of_few or len(self._kept) < FEW:
            return ()
        numbers = [Decimal(number) for number in self._kept]
        return tuple(statistics.quantiles(numbers, n=4, method="inclusive"))

    def merge(self, other: "Values") -> None:
        """Take in the results of another name of the same code."""
        for values in (self, other):
            while values._step < max(self._step, other._step):
                values._thin()
        self.count += other.count
        self._numbers += other._numbers
        self._kept += other._kept
        if len(self._kept) > _MOST_KEPT:
            self._thin()
        self._patients |= other._patients

    def _thin(self) -> None:
        del self._kept[1::2]
        self._step *= 2


class Result(NamedTuple):
    """How a result is recorded, and its unit as it is read."""

    how: str
    unit: str = ""


class Name(NamedTuple):
    """What a resource is coded as: its codings (system, code, display), or its text alone."""

    codings: tuple[tuple[str, str, str], ...]
    text: str


class Meant(NamedTuple):
    """What a code or text means here: a concept or instrument, by which code."""

    name: str
    label: str


class Seen:
    """What is seen of one name in one element of one type."""

    __slots__ = (
        "companions",
        "count",
        "first",
        "last",
        "may_be",
        "means",
        "patients",
        "results",
        "text",
    )

    def __init__(self, text: str) -> None:
        #: The text beside the codings, of the first.
        self.text = text
        #: The concepts and instruments that it is, or may be; of those more is looked at.
        self.may_be: frozenset[str] = frozenset()
        self.count = 0
        self.patients: set[int] = set()
        self.first = ""
        self.last = ""
        self.means: Counter[tuple[Meant, ...]] = Counter()
        self.results: dict[Result, Values] = {}
        self.companions: dict[str, Counter[Token]] = {}

    def add(self, patient: int, year: str, means: tuple[Meant, ...]) -> None:
        """Count one."""
        self.count += 1
        if patient:
            self.patients.add(patient)
        if year:
            if not self.first or year < self.first:
                self.first = year
            if year > self.last:
                self.last = year
        self.means[means] += 1

    def beside(self, element: str, values: Iterable[Token]) -> None:
        """Count what an element of the same resource holds."""
        counted = self.companions.get(element)
        if counted is None:
            counted = self.companions[element] = Counter()
        for value in set(values):
            counted[value] += 1


@dataclass
class Place:
    """Where a grade may stand: how often something stands there, and what.

    ``values``: (system, code, display), or a text.
    """

    count: int = 0
    patients: set[int] = field(default_factory=set)
    values: Counter[tuple[str, str, str] | str] = field(default_factory=Counter)


@dataclass
class Link:
    """The answers to a linkId: how many of each kind, numbers, coded answers; of a few patients."""

    kinds: Counter[str] = field(default_factory=Counter)
    numbers: Counter[Number] = field(default_factory=Counter)
    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    few: set[int] = field(default_factory=set)

    def merge(self, other: "Link") -> None:
        """Take in the answers of other responses."""
        self.kinds += other.kinds
        self.numbers += other.numbers
        self.codes += other.codes
        self.few |= other.few


@dataclass
class Form:
    """The responses to one questionnaire."""

    count: int = 0
    patients: set[int] = field(default_factory=set)
    first: str = ""
    last: str = ""
    links: dict[str, Link] = field(default_factory=dict)
    known_as: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def add(self, patient: int, year: str) -> None:
        """Count a response."""
        self.count += 1
        if patient:
            self.patients.add(patient)
        if year:
            self.first = min(self.first or year, year)
            self.last = max(self.last, year)

    def merge(self, other: "Form") -> None:
        """Take in what is the same form, answered in part."""
        self.count += other.count
        self.patients |= other.patients
        self.first = min(filter(None, (self.first, other.first)), default="")
        self.last = max(self.last, other.last)
        self.known_as += other.known_as
        for name, link in other.links.items():
            self.links[name].merge(link)


#: The type, the element, the name.
SeenKey = tuple[str, str, Name]
#: The canonical without version; where there is none, the linkIds.
FormKey = tuple[str, frozenset[str]]


@dataclass
class Tally:
    """All that was counted; the places by what they are and how they are called."""

    types: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    patients: dict[str, int] = field(default_factory=dict)
    seen: dict[SeenKey, Seen] = field(default_factory=dict)
    places: dict[tuple[str, str], Place] = field(default_factory=dict)
    forms: dict[FormKey, Form] = field(default_factory=dict)
