"""Which of two versions of a resource is the later one, and whether it was deleted afterwards."""

from collections.abc import Iterable
from datetime import datetime

from fhircryo.calendar import moment
from fhircryo.fhir.deletions import Deletion
from fhircryo.record.items import Item

#: A longer number is no number of a version (FHIR: an id of at most 64 characters); reading it
#: takes more than linear time.
_MOST_DIGITS = 64


def _number(version: str | None) -> int | None:
    """Return the number of a version; None for one that is not a number."""
    text = version or ""
    return int(text) if len(text) <= _MOST_DIGITS and text.isdecimal() else None


def is_newer(item: Item, other: Item) -> bool:
    """Whether an item is of a later version than another one of the same resource."""
    if item.updated != other.updated:
        mine, theirs = moment(item.updated), moment(other.updated)
        if mine != theirs:
            return mine > theirs
    one, two = _number(item.version), _number(other.version)
    if one is not None and two is not None and one != two:
        return one > two
    return item.sequence > other.sequence


class _Timed:
    """Deletions as far as their times and the order of reading tell whether they are later."""

    def __init__(self) -> None:
        self._latest: datetime | None = None
        self._last = False
        self._sequence = 0
        # The same for deletions of one time, and of none.
        self._at: dict[datetime | None, tuple[bool, int]] = {}

    def add(self, deletion: Deletion) -> None:
        when = moment(deletion.updated) if deletion.updated else None
        if when is not None and (self._latest is None or when > self._latest):
            self._latest = when
        self._last = self._last or deletion.last
        self._sequence = max(self._sequence, deletion.sequence)
        last, sequence = self._at.get(when, (False, 0))
        self._at[when] = last or deletion.last, max(sequence, deletion.sequence)

    def any_later(self, item: Item) -> bool:
        """Whether any of the deletions is later than the version of an item."""
        if not item.updated:
            return self._last or self._sequence > item.sequence
        written = moment(item.updated)
        if self._latest is not None and self._latest > written:
            return True
        equal = (self._at.get(when, (False, 0)) for when in (None, written))
        return any(last or sequence > item.sequence for last, sequence in equal)


class Deletions:
    """The deletions of one resource.

    A deletion is later than a version by the number of the version, then by time. Where neither
    tells it, a list of deletions holds for all that is there, and another deletion is later if it
    was read later. Looking up an item takes the same time however many deletions there are.
    """

    def __init__(self, deletions: Iterable[Deletion]) -> None:
        self._highest: int | None = None
        self._all = _Timed()
        self._by_number: dict[int | None, _Timed] = {}
        for deletion in deletions:
            number = _number(deletion.version)
            if number is not None and (self._highest is None or number > self._highest):
                self._highest = number
            self._all.add(deletion)
            self._by_number.setdefault(number, _Timed()).add(deletion)

    def any_later(self, item: Item) -> bool:
        """Whether the resource was deleted after the version of an item, and not written again."""
        number = _number(item.version)
        if number is None:
            return self._all.any_later(item)
        if self._highest is not None and self._highest > number:
            return True
        # A deletion of a lower number is earlier, whatever its time.
        undecided = (self._by_number.get(one) for one in (None, number))
        return any(found is not None and found.any_later(item) for found in undecided)
