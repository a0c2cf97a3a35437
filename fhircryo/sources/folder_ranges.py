"""Reads files into ranges of patients, so that not all of what was read is in memory.

What a range cannot decide alone is found by comparing hashes of references: a resource whose
versions belong to patients of different ranges, an adverse event or a primary cancer that an item
of another range names. Where there is any, the files are read again and those items are shared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fhircryo.record.collector import type_of
from fhircryo.record.items import Drug, Item
from fhircryo.record.known import Known
from fhircryo.record.patients import Patients
from fhircryo.record.ranges import Batch, BatchStore, RangeCollector, Ranges, encode_batch
from fhircryo.sources.folder_source import (
    InputParts,
    collected_of,
    may_name_candidates,
    read_part,
    scan_part,
)
from fhircryo.sources.lacking import with_missing_medications
from fhircryo.sources.resource_types import MEDICATION
from fhircryo.sources.source import Collected, ReadRequest, current_links

if TYPE_CHECKING:
    import numpy as np

    Hashes = np.ndarray[tuple[int], np.dtype[np.int64]]

#: Every pass but the first is caused by something rare; more than that are not worth it.
_MOST_PASSES = 4


@dataclass(frozen=True)
class Division:
    """How the patients of a source are divided into ranges.

    ``count``: the number of ranges. ``new_store``: makes an empty store for what is read of them.
    ``name``: the name of a patient by which the ranges follow each other, from the id.
    """

    count: int
    new_store: Callable[[], BatchStore]
    name: Callable[[str], str] = str


@dataclass(frozen=True)
class CollectedRanges:
    """What a folder gave: ``collected`` without its items, which ``collector`` reads by range.

    ``shared``: the items that any range may need, by reference. ``unmapped``: hashes of the
    discarded references that items name.
    """

    collected: Collected
    collector: RangeCollector
    shared: dict[str, Item]
    unmapped: list[int]


@dataclass
class _Pass:
    """What is known before the files are read; it only grows, but for the links."""

    known: Known
    wanted: frozenset[str]
    links: dict[str, str]
    watched: frozenset[str]
    shared: frozenset[int]


def collect_ranges(
    files: InputParts, request: ReadRequest, division: Division
) -> CollectedRanges | None:
    """Read files into ranges of patients.

    None is returned where ranges cannot give what reading everything into memory gives, or where
    there is no candidate.
    """
    all_parts = files.parts()
    context, hash_of = request.context(), request.driver.hash_of
    known = Known()
    to_scan = [part for part in all_parts if may_name_candidates(part)]
    request.driver.collect(to_scan, partial(scan_part, context=context), known)
    now = _Pass(known, known.wanted(request.selection), known.links, frozenset(), frozenset())
    for _ in range(_MOST_PASSES):
        if not now.wanted:
            return None
        now.shared |= {hash_of(f"Patient/{patient}") for patient in now.links}
        patients = Patients(now.links, request.selection)
        ranges = Ranges(patients, now.wanted, division.count, now.shared, division.name)
        retention = request.retention(now.wanted, now.watched)
        collector = RangeCollector(retention, ranges, division.new_store(), hash_of)
        step = partial(read_part, context=context)
        request.driver.collect(all_parts, step, collector, request.progress)
        collector.finish()
        found = _Found(collector)
        if not found.needs_another_pass(now, request):
            return found.collected(files, request)
        collector.store.remove()
    return None


class _Found:
    """What reading all files once gave."""

    def __init__(self, collector: RangeCollector) -> None:
        self._collector = collector
        self._hashes = _Hashes(collector)
        self._shared = collector.load(collector.ranges.of_shared)
        self._deleted = self._shared.apply_deletions()
        self._links = current_links(self._shared.items)

    def needs_another_pass(self, now: _Pass, request: ReadRequest) -> bool:
        """Whether the files have to be read again; what for is added to ``now``."""
        facts = self._collector.facts
        doubtful = self._collector.refs_of(self._hashes.doubtful())
        doubtful |= (facts.events.keys() & facts.deleted.keys()) - now.watched
        hash_of = self._collector.hash_of
        # Which Patients were deleted is asked before the ranges are looked at.
        deleted = {hash_of(ref) for ref in facts.deleted if type_of(ref) == "Patient"}
        shared = self._hashes.of_several_ranges() | deleted | {hash_of(ref) for ref in doubtful}
        known = Known(now.known.candidates | facts.candidates, now.known.links | facts.links)
        wanted = known.wanted(request.selection)
        complete = (
            wanted <= now.wanted
            and not doubtful
            and shared <= now.shared
            and self._links == now.links
        )
        now.known, now.links = known, self._links
        now.wanted |= wanted
        now.watched |= doubtful
        now.shared |= shared
        return not complete

    def collected(self, files: InputParts, request: ReadRequest) -> CollectedRanges | None:
        """What the ranges hold; None where it is not known without looking at all of them."""
        collector, facts = self._collector, self._collector.facts
        self._hand_out()
        facts.links = self._links
        patients = Patients(self._links, request.selection.without(self._deleted))
        therapies: dict[str, Item] = {one.ref: one for one in collector.therapies.values()}
        collected = collected_of(files, therapies, facts, patients)
        completed = with_missing_medications(collected)
        # Of several versions the one that does not count may be the therapy that was looked at.
        by_reference = any(named for _, named in collector.therapies)
        unsure = bool(facts.deleted) or self._hashes.has_versions()
        if by_reference and not facts.seen.get(MEDICATION) and unsure:
            return None
        return CollectedRanges(
            completed, collector, self._shared.items, self._hashes.named_unmapped()
        )

    def _hand_out(self) -> None:
        """Give the shared items to the ranges that they belong to, with their older versions."""
        collector, ranges = self._collector, self._collector.ranges
        batches: list[Batch] = [([], []) for _ in range(ranges.count)]
        for item in self._shared.items.values():
            if type(item) is not Drug:
                batches[ranges.of_patient(item.patient)][0].append(item)
        for older in self._shared.facts.older:
            batches[ranges.of_patient(older.patient)][1].append(older)
        for number, batch in enumerate(batches):
            collector.store.append(number, encode_batch(batch))
        collector.finish()


class _Hashes:
    """Compares the hashes of all references that were retained, discarded or named."""

    def __init__(self, collector: RangeCollector) -> None:
        import numpy as np

        self._numpy = np
        self._collector = collector
        found = [np.frombuffer(one, np.int64) for one in collector.retained]
        hashes = np.concatenate(found)
        ranges = np.repeat(np.arange(len(found), dtype=np.int16), list(map(len, found)))
        order = np.argsort(hashes)
        self._retained: Hashes = hashes[order]
        self._ranges = ranges[order]
        self._discarded = [
            np.frombuffer(one, np.int64) for one in (collector.unmapped, collector.outside)
        ]

    def doubtful(self) -> set[int]:
        """Of the references of which one version was retained and another was discarded."""
        every = self._numpy.concatenate(self._discarded)
        return set(self._numpy.intersect1d(self._retained, every).tolist())

    def has_versions(self) -> bool:
        """Whether any resource was retained more than once."""
        return bool((self._retained[1:] == self._retained[:-1]).any())

    def of_several_ranges(self) -> set[int]:
        """Of the references of items that more than one range needs."""
        hashes, ranges = self._retained, self._ranges
        several = (hashes[1:] == hashes[:-1]) & (ranges[1:] != ranges[:-1])
        found = set(hashes[1:][several].tolist())
        shared = self._collector.ranges.of_shared
        for number, named in enumerate(self._collector.named):
            wanted = self._numpy.unique(self._numpy.frombuffer(named, self._numpy.int64))
            places = self._numpy.searchsorted(hashes, wanted)
            inside = places < len(hashes)
            wanted, places = wanted[inside], places[inside]
            there = hashes[places] == wanted
            elsewhere = (ranges[places] != number) & (ranges[places] != shared)
            found.update(wanted[there & elsewhere].tolist())
        return found

    def named_unmapped(self) -> list[int]:
        """Of the references that items name and that were discarded as unmapped."""
        np = self._numpy
        named = np.concatenate([np.frombuffer(one, np.int64) for one in self._collector.named])
        found: list[int] = np.intersect1d(named, self._discarded[0]).tolist()
        return found
