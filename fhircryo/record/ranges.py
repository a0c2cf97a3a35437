"""Divides patients into ranges, so that what was read of one range is in memory at a time.

A range holds the patients whose names, ids or others, lie between two bounds, after merging. Items
that more than one range may need, or that the ranges cannot be told of, are shared. Where the items
are held until their range is computed is up to a ``BatchStore``: files, or the engine that
distributes the work.
"""

import os
import shutil
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import cache
from pathlib import Path
from typing import IO, Protocol, Self

import msgspec

from fhircryo.record.collector import Facts, Older, RecordCollector, Retention, any_kind, type_of
from fhircryo.record.items import Drug, Finding, Grading, Item, PatientFacts, Therapy
from fhircryo.record.patients import Patients

#: Items are stored when so many of them are in memory.
_ITEMS_AT_A_TIME = 20_000
_LENGTH = 8


class Ranges:
    """Which range of patients an id belongs to; ids of no patient belong to the first one.

    ``count``: the number of ranges. ``shared``: hashes of the references of items that are shared.
    ``name``: the name of a patient by which the ranges follow each other, from the id.
    """

    def __init__(
        self,
        patients: Patients,
        candidates: Iterable[str],
        count: int,
        shared: frozenset[int],
        name: Callable[[str], str] = str,
    ) -> None:
        ids = sorted(map(name, set(map(patients.current, candidates))))
        self.count = max(1, min(count, len(ids)))
        self.shared = shared
        self._patients = patients
        self._name = name
        self._bounds = [ids[len(ids) * number // self.count] for number in range(1, self.count)]
        self._found: dict[str, int] = {}

    @property
    def of_shared(self) -> int:
        """The number that stands for the shared items, beside those of the ranges."""
        return self.count

    def without_patients(self) -> "Ranges":
        """The same ranges, without what was looked up of single patients."""
        found = copy(self)
        found._found = {}
        return found

    def of_patient(self, patient: str) -> int:
        """The range of a patient."""
        found = self._found.get(patient)
        if found is None:
            current = self._name(self._patients.current(patient)) if patient else ""
            found = self._found[patient] = bisect_right(self._bounds, current)
        return found

    def of_item(self, item: Item, key: int) -> int:
        """The range of an item; ``key``: the hash of its reference."""
        if type(item) is Drug or key in self.shared:
            return self.of_shared
        if type(item) is PatientFacts and item.replaced_by:
            # Who was merged with whom is asked before the ranges are looked at.
            return self.of_shared
        return self.of_patient(item.patient)


#: Items of one range that were written together, and older versions of resources.
Batch = tuple[list[Item], list[Older]]


def encode_batch(batch: Batch) -> bytes:
    """A batch, to store it or to send it to another process of the same program."""
    return msgspec.msgpack.encode(batch)


class BatchStore(Protocol):
    """Holds the encoded batches of every range until it is computed."""

    def empty_copy(self) -> Self:
        """A store of the same place that another process writes to."""

    def append(self, number: int, encoded: bytes) -> None:
        """Add a batch to a range."""

    def finish(self) -> None:
        """Complete what this process has added."""

    def read(self, number: int) -> Iterable[bytes]:
        """The batches that all processes added to a range."""

    def remove(self) -> None:
        """Remove everything."""


class FileStore:
    """Holds batches in files of a folder, one for each range and process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, IO[bytes]] = {}

    def empty_copy(self) -> "FileStore":
        """A store of the same folder."""
        return FileStore(self._folder)

    def append(self, number: int, encoded: bytes) -> None:
        """Append a batch to the file that this process has of a range."""
        file = self._files.get(number)
        if file is None:
            path = self._folder / f"{number}.{os.getpid()}"
            file = self._files[number] = path.open("ab")
        file.write(len(encoded).to_bytes(_LENGTH))
        file.write(encoded)

    def finish(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def read(self, number: int) -> Iterator[bytes]:
        """The batches that all processes wrote of a range."""
        for path in sorted(self._folder.glob(f"{number}.*")):
            with path.open("rb") as file:
                while length := file.read(_LENGTH):
                    yield file.read(int.from_bytes(length))

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder)


class _Sent(msgspec.Struct):
    """What a process found, without the items, which it wrote to files."""

    facts: Facts
    unmapped: bytes
    outside: bytes
    retained: list[bytes]
    named: list[bytes]
    therapies: list[Therapy]


class RangeCollector(RecordCollector):
    """Collects items like its base, and stores them by range.

    ``retained``: by range, hashes of the references of the items. ``named``: by range, hashes of
    the references by which items name others of which they need something. ``therapies``: one of
    each kind that differs in whether it says which drug was given.
    """

    def __init__(
        self,
        retention: Retention,
        ranges: Ranges,
        store: BatchStore,
        hash_of: Callable[[str], int] = hash,
    ) -> None:
        super().__init__(retention, hash_of)
        self.ranges = ranges
        self.store = store
        self.retained: list[array[int]] = [array("q") for _ in range(ranges.count + 1)]
        self.named: list[array[int]] = [array("q") for _ in range(ranges.count + 1)]
        self.therapies: dict[tuple[str, bool], Therapy] = {}

    def empty_copy(self) -> "RangeCollector":
        """A collector of the same ranges that has read nothing."""
        return RangeCollector(self.retention, self.ranges, self.store.empty_copy(), self.hash_of)

    def after_batch(self) -> None:
        """Store the items if there are many."""
        if len(self.items) >= _ITEMS_AT_A_TIME:
            self._flush()

    def finish(self) -> None:
        """Store what is left."""
        self._flush()
        self.store.finish()

    def _flush(self) -> None:
        batches: list[Batch] = [([], []) for _ in range(self.ranges.count + 1)]
        of_item, hash_of, retained = self.ranges.of_item, self.hash_of, self.retained
        for item in self.items.values():
            key = hash_of(item.ref)
            number = of_item(item, key)
            batches[number][0].append(item)
            retained[number].append(key)
            if isinstance(item, Grading):
                self.named[number].extend(map(hash_of, item.events))
            elif isinstance(item, Finding):
                self.named[number].extend(map(hash_of, item.primaries))
            elif isinstance(item, Therapy):
                self.therapies.setdefault((type_of(item.ref), bool(item.medication)), item)
        for older in self.facts.older:
            batches[self.ranges.of_patient(older.patient)][1].append(older)
        self.items.clear()
        self.facts.older.clear()
        for number, batch in enumerate(batches):
            if any(batch):
                self.store.append(number, encode_batch(batch))

    def read(self, number: int) -> Iterator[Batch]:
        """The batches that all processes stored of a range."""
        yield from map(_decoder().decode, self.store.read(number))

    def refs_of(self, hashes: set[int]) -> set[str]:
        """The references of the items that have one of the hashes."""
        if not hashes:
            return set()
        return {
            item.ref
            for number in range(self.ranges.count + 1)
            for items, _ in self.read(number)
            for item in items
            if self.hash_of(item.ref) in hashes
        }

    def encode(self) -> bytes:
        """What was found, to send it to another process of the same program; items are stored."""
        self.finish()
        return msgspec.msgpack.encode(
            _Sent(
                self.facts,
                self.unmapped.tobytes(),
                self.outside.tobytes(),
                [one.tobytes() for one in self.retained],
                [one.tobytes() for one in self.named],
                list(self.therapies.values()),
            )
        )

    def merge(self, encoded: bytes) -> None:
        """Add what another collector of the same ranges found."""
        sent = msgspec.msgpack.decode(encoded, type=_Sent)
        self.facts.merge(sent.facts)
        self.unmapped.frombytes(sent.unmapped)
        self.outside.frombytes(sent.outside)
        for mine, theirs in ((self.retained, sent.retained), (self.named, sent.named)):
            for number, hashes in enumerate(theirs):
                mine[number].frombytes(hashes)
        for therapy in sent.therapies:
            key = type_of(therapy.ref), bool(therapy.medication)
            self.therapies.setdefault(key, therapy)

    def load(self, number: int, unmapped: Sequence[int] = ()) -> RecordCollector:
        """All that was read of a range; of every resource the version that counts.

        ``unmapped``: hashes of the discarded references that items of any range name.
        """
        found = RecordCollector(self.retention, self.hash_of)
        found.facts = Facts(events=self.facts.events, deleted=self.facts.deleted)
        found.unmapped.extend(unmapped)
        for items, older in self.read(number):
            found.add(items)
            found.facts.older += older
        return found


@cache
def _decoder() -> "msgspec.msgpack.Decoder[Batch]":
    return msgspec.msgpack.Decoder(tuple[list[any_kind()], list[Older]])  # type: ignore[misc]
