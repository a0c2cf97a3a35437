"""Collects the items that are read, with what is known of everything that is not retained.

Of every resource the latest version counts, in whatever order the versions come. Resources that are
of no use are counted and discarded, so that memory grows with what is used, not with what is read.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, Union

import msgspec

from fhircryo.calendar import Span
from fhircryo.fhir.deletions import Deletion
from fhircryo.fhir.resource_names import KNOWN_TYPES
from fhircryo.record.items import (
    AdverseEvent,
    CauseOfDeath,
    Diagnosis,
    Dropped,
    Finding,
    Grading,
    Item,
    NotUsed,
    PatientFacts,
    PsaResult,
    Reason,
    Therapy,
    Treatment,
    item_kinds,
)
from fhircryo.record.stated import stated_by
from fhircryo.record.versions import Deletions, is_newer

_WITH_PROBLEM = (AdverseEvent, Therapy, Finding, Diagnosis)

#: What is counted and not listed: (reason, type, code).
Counted = tuple[Reason, str, str]
#: The kinds of items that state a clinical event.
_STATING = frozenset({CauseOfDeath, Finding, Therapy})


#: How many unreadable lines of a part of the input are listed one by one.
_MOST_LISTED = 1000


class Unreadable(msgspec.Struct, order=True):
    """A line or file that could not be read.

    ``part``: the part of the input. ``line``: the line in it; 0 is the file itself. ``within``: the
    entry of a Bundle. ``kind``: the resource type, where that much can be recognised. ``further``:
    how many more of this type it stands for, which follow in the same part.
    """

    part: int
    line: int
    within: str
    detail: str
    kind: str = ""
    further: int = 0

    @property
    def words(self) -> str:
        """What is wrong, and how many more there are."""
        return f"{self.detail}; and {self.further} more after it" if self.further else self.detail


class Older(msgspec.Struct, order=True):
    """An older version of a resource that was read as well.

    ``deleted``: what is newer is not a version, but that the resource was deleted, or is no longer
    contained in another one.
    """

    ref: str
    patient: str
    deleted: bool = False


class Facts(msgspec.Struct):
    """What reading found beside the items; facts of several readers merge in any order.

    ``met``: of the patients asked for, those of whom anything was read. ``counted``: resources that
    were discarded. ``seen``: all resources by type. ``links``: for each replaced patient id, the id
    that replaces it. ``candidates``: patients with a candidate for the index procedure. ``events``:
    adverse events that were discarded, with their dates. ``graded``: the scales of which there are
    Observations that grade. ``stated``: the kinds of events that any resource states, as
    ``record.stated`` names them. ``overlays_met``: the numbers of the overlays of which something
    was found. ``unmapped_primaries``: the Conditions that findings name as their primary cancer and
    that were discarded because their codes are not mapped.
    ``deleted``: by reference, what the source says of the deletion of resources.
    ``lines`` and ``filled``: by part of the input, its lines, and how many of them hold something.
    ``unreadable``: what could not be read, listed one by one up to a number in each part;
    ``summed``: by part and type, the first one after that, which stands for all further ones.
    ``listed``: by part, how many are listed.
    """

    met: set[str] = msgspec.field(default_factory=set)
    counted: dict[Counted, int] = msgspec.field(default_factory=Counter)
    seen: dict[str, int] = msgspec.field(default_factory=Counter)
    unreadable: list[Unreadable] = msgspec.field(default_factory=list)
    older: list[Older] = msgspec.field(default_factory=list)
    links: dict[str, str] = msgspec.field(default_factory=dict)
    candidates: set[str] = msgspec.field(default_factory=set)
    events: dict[str, Span | None] = msgspec.field(default_factory=dict)
    graded: set[str] = msgspec.field(default_factory=set)
    stated: set[str] = msgspec.field(default_factory=set)
    overlays_met: set[int] = msgspec.field(default_factory=set)
    unmapped_primaries: set[str] = msgspec.field(default_factory=set)
    deleted: dict[str, list[Deletion]] = msgspec.field(default_factory=dict)
    lines: dict[int, int] = msgspec.field(default_factory=dict)
    filled: dict[int, int] = msgspec.field(default_factory=dict)
    summed: dict[tuple[int, str], Unreadable] = msgspec.field(default_factory=dict)
    listed: dict[int, int] = msgspec.field(default_factory=dict)

    def note_unreadable(self, one: Unreadable) -> None:
        """Note a line that cannot be read.

        Of a part without a readable line, not every line is kept: a file that is no FHIR would
        take a hundred times its size in memory and in the list of issues.
        """
        number = self.listed.get(one.part, 0)
        if number < _MOST_LISTED:
            self.listed[one.part] = number + 1
            self.unreadable.append(one)
            return
        if one.kind not in KNOWN_TYPES:
            one.kind = ""
        self._sum_up(one)

    def _sum_up(self, one: Unreadable) -> None:
        first = self.summed.setdefault((one.part, one.kind), one)
        if first is not one:
            first.further += 1 + one.further

    @property
    def all_unreadable(self) -> list[Unreadable]:
        """What could not be read, in order; the last ones can stand for more."""
        return sorted([*self.unreadable, *self.summed.values()])

    @property
    def number_unreadable(self) -> int:
        """How many lines or files could not be read."""
        return len(self.unreadable) + sum(1 + one.further for one in self.summed.values())

    def merge(self, other: "Facts") -> None:
        """Add the facts of another reader."""
        add_counts(self.counted, other.counted)
        add_counts(self.seen, other.seen)
        self.unreadable += other.unreadable
        self.older += other.older
        self.met |= other.met
        self.candidates |= other.candidates
        self.graded |= other.graded
        self.stated |= other.stated
        self.overlays_met |= other.overlays_met
        self.unmapped_primaries |= other.unmapped_primaries
        self.links.update(other.links)
        self.events.update(other.events)
        for ref, deletions in other.deleted.items():
            self.deleted.setdefault(ref, []).extend(deletions)
        self.lines.update(other.lines)
        self.filled.update(other.filled)
        for one in other.summed.values():
            self._sum_up(one)


_Key = TypeVar("_Key")


def add_counts(counts: dict[_Key, int], more: Mapping[_Key, int]) -> None:
    """Add counts by key to others."""
    for key, number in more.items():
        counts[key] = counts.get(key, 0) + number


@dataclass(frozen=True)
class Retention:
    """Which resources are retained while reading.

    ``grading_labels``: the codes of Observations that grade, each with its scale. ``wanted``: the
    patients whose resources are retained (None: all). ``watched``: references that are retained
    whatever they say, because their versions differ in whether they are of use. ``traced``:
    patients of whom resources that are only counted are retained as well. ``asked``: the patients
    asked for by id.
    """

    grading_labels: Mapping[str, str]
    wanted: frozenset[str] | None = None
    watched: frozenset[str] = frozenset()
    traced: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()


class RecordCollector:
    """Collects the items of one reader: the latest version of each, and the facts about the rest.

    ``items``: the retained items by reference. ``sequence``: the order of the last item read; of
    two versions that cannot be told apart the later one wins. ``unmapped`` and ``outside``: hashes
    of the references that were discarded: of resources without a mapped code, and of patients
    outside the cohort. ``hash_of``: makes these hashes; collectors that are merged use the same.
    """

    def __init__(self, retention: Retention, hash_of: Callable[[str], int] = hash) -> None:
        self.retention = retention
        self.hash_of = hash_of
        self.items: dict[str, Item] = {}
        self.facts = Facts()
        self.sequence = 0
        self.unmapped: array[int] = array("q")
        self.outside: array[int] = array("q")

    def empty_copy(self) -> "RecordCollector":
        """A collector of the same retention that has read nothing."""
        return RecordCollector(self.retention, self.hash_of)

    def take(self, item: Item) -> None:
        """Retain an item, or count and discard it."""
        self.sequence += 1
        item.sequence = self.sequence
        kind = type(item)
        retention = self.retention
        if type(item) is PatientFacts:
            if item.replaced_by:
                self.facts.links[item.patient] = item.replaced_by
        elif kind is Treatment:
            self.facts.candidates.add(item.patient)
        elif kind in _STATING:
            self.facts.stated.update(stated_by(item))
        elif (
            kind is not PsaResult and item.code in retention.grading_labels and kind is not Dropped
        ):
            self._note_grading(item)
        if retention.asked and item.patient in retention.asked:
            self.facts.met.add(item.patient)
        retained = self.items.get(item.ref)
        if retained is not None:
            self._replace(retained, item)
        elif (
            kind is not Dropped and (retention.wanted is None or item.patient in retention.wanted)
        ) or self._is_retained(item):
            self.items[item.ref] = item
        else:
            self._discard(item)

    def pass_over(self, refs: list[str]) -> None:
        """Note resources that are not read because they are of other patients."""
        self.sequence += len(refs)
        add_counts(self.facts.seen, Counter([ref[: ref.index("/")] for ref in refs]))
        self.outside.extend(map(self.hash_of, refs))

    def is_wanted(self, patient: str) -> bool:
        """Return whether the resources of a patient are retained."""
        return self.retention.wanted is None or patient in self.retention.wanted

    def delete(self, deletion: Deletion) -> None:
        """Note that a resource was deleted; which of its versions that concerns is seen later."""
        self.sequence += 1
        deletion.sequence = self.sequence
        self.facts.deleted.setdefault(deletion.ref, []).append(deletion)

    def apply_deletions(self) -> frozenset[str]:
        """Remove the items of resources that were deleted after the version that counts.

        To be called when everything has been read and merged.

        Returns:
            The ids of the patients whose Patient was deleted.
        """
        deleted = self.facts.deleted
        if not deleted:
            return frozenset()
        indexed: dict[str, Deletions] = {}
        for ref, item in list(self.items.items()):
            # What a resource contains is deleted with it.
            whole = ref.partition("#")[0]
            if whole in deleted and whole not in indexed:
                indexed[whole] = Deletions(deleted[whole])
            if whole in indexed and indexed[whole].any_later(item):
                del self.items[ref]
                self.facts.older.append(Older(ref, item.patient, deleted=True))
        gone = (ref for ref in deleted if type_of(ref) == "Patient" and ref not in self.items)
        return frozenset(ref.partition("/")[2] for ref in gone)

    def _note_grading(self, item: Item) -> None:
        scale = self.retention.grading_labels[item.code]
        if scale:
            self.facts.graded.add(scale)
        elif type(item) is Grading:
            # The code is of any scale: the grades show which.
            self.facts.graded.update(name for name, _ in item.grades)

    def _is_retained(self, item: Item) -> bool:
        retention = self.retention
        if item.ref in retention.watched:
            return True
        if type(item) is Dropped:
            return item.patient in retention.traced
        if retention.wanted is None or item.patient in retention.wanted or not item.patient:
            return True
        if type(item) is PatientFacts:
            # Merging must be known of all patients: one may have objected under another id.
            return bool(item.replaced_by)
        return type(item) is Treatment or is_listed(item)

    def _discard(self, item: Item) -> None:
        reason = item.reason if type(item) is Dropped else Reason.NOT_IN_COHORT
        key = (reason, type_of(item.ref), item.code)
        counted = self.facts.counted
        counted[key] = counted.get(key, 0) + 1
        if type(item) is AdverseEvent:
            self.facts.events[item.ref] = item.when
        (self.unmapped if type(item) is Dropped else self.outside).append(self.hash_of(item.ref))

    def _replace(self, retained: Item, item: Item) -> None:
        newer, older = (item, retained) if is_newer(item, retained) else (retained, item)
        self.facts.older.append(Older(older.ref, older.patient))
        self.items[newer.ref] = newer

    def doubtful(self) -> set[str]:
        """References of which one version was retained and another was discarded or deleted."""
        hashes = {self.hash_of(ref): ref for ref in self.items if ref not in self.retention.watched}
        retained = set(hashes)
        discarded = retained.intersection(self.unmapped) | retained.intersection(self.outside)
        # Whether a deletion is later than an event that was discarded is known of its item only.
        deleted = self.facts.events.keys() & self.facts.deleted.keys()
        return {hashes[found] for found in discarded} | (deleted - self.retention.watched)

    def named_outside(self) -> set[str]:
        """References of discarded resources that the patients' gradings and findings name.

        What others name is of no use. It is not followed, so that a source is not read again for
        each link of a chain.
        """
        named: dict[int, str] = {}
        for item in self.items.values():
            if item.patient and not self.is_wanted(item.patient):
                continue
            if isinstance(item, Grading):
                named.update((self.hash_of(ref), ref) for ref in item.events)
            elif isinstance(item, Finding):
                named.update((self.hash_of(ref), ref) for ref in item.primaries)
        return {named[found] for found in set(named).intersection(self.outside)} - self.items.keys()

    def note_unmapped_primaries(self) -> None:
        """Add to the facts the named primary cancers that were discarded as unmapped.

        To be called when everything has been read and merged: which Conditions are named is known
        only then.
        """
        named = {
            self.hash_of(ref): ref
            for item in self.items.values()
            if type(item) is Finding
            for ref in item.primaries
            if ref not in self.items and ref not in self.facts.deleted
        }
        if named:
            found = set(named).intersection(self.unmapped)
            self.facts.unmapped_primaries.update(named[one] for one in found)

    def after_batch(self) -> None:
        """To be called when a batch of lines has been read."""

    def add(self, items: Iterable[Item]) -> None:
        """Add items that another collector of the same retention retained."""
        for item in items:
            retained = self.items.get(item.ref)
            if retained is None:
                self.items[item.ref] = item
            else:
                self._replace(retained, item)

    def encode(self) -> bytes:
        """What was collected, to send it to another process of the same program."""
        return msgspec.msgpack.encode(
            (
                list(self.items.values()),
                self.facts,
                self.unmapped.tobytes(),
                self.outside.tobytes(),
            )
        )

    def merge(self, encoded: bytes) -> None:
        """Add what another collector of the same retention holds, as if this one had read it."""
        items, facts, unmapped, outside = _decoder().decode(encoded)
        self.add(items)
        self.facts.merge(facts)
        self.unmapped.frombytes(unmapped)
        self.outside.frombytes(outside)


@cache
def _decoder() -> "msgspec.msgpack.Decoder[tuple[list[Item], Facts, bytes, bytes]]":
    return msgspec.msgpack.Decoder(tuple[list[any_kind()], Facts, bytes, bytes])  # type: ignore[misc]


def any_kind() -> Any:
    """The type of an item of any kind, to decode it."""
    return Union[item_kinds()]  # noqa: UP007  the kinds are known at run time only


def type_of(ref: str) -> str:
    """The resource type of a reference."""
    return ref.partition("/")[0]


def is_listed(item: Item) -> bool:
    """Whether an item of a patient outside the cohort is listed by name all the same.

    A cryoablation that cannot be the index may be the reason he is outside; test data are always
    listed.
    """
    if not isinstance(item, NotUsed):
        return problem_of(item) is Reason.TEST_DATA
    return item.reason is Reason.TEST_DATA or type_of(item.ref) == "Procedure"


def problem_of(item: Item) -> Reason | None:
    """The reason for which an item that is retained all the same does not count.

    Adverse events, therapies, findings and diagnoses have one; it is None for all other items.
    """
    return item.problem if isinstance(item, _WITH_PROBLEM) else None
