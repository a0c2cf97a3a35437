"""What computing ranges of patients gives, in whatever process each range was computed."""

from collections import Counter
from dataclasses import replace

import msgspec

from fhircryo.record.assemble import Records, assemble, count_drugs, named_drugs
from fhircryo.record.collector import Counted, Older, add_counts
from fhircryo.record.items import Issue, Lacking
from fhircryo.runs.publish_patients import PublishCounts
from fhircryo.runs.read_source import ReadResult
from fhircryo.sources.folder_ranges import CollectedRanges


class RangeShare(msgspec.Struct):
    """What a process found in the ranges that it computed.

    ``counted``, ``listed``, ``older``: what belongs to no record; ``drugs``: the Medications that
    therapies of the records name.
    """

    counts: PublishCounts = msgspec.field(default_factory=PublishCounts)
    counted: dict[Counted, int] = {}
    listed: list[tuple[Issue, str]] = []
    older: list[Older] = []
    drugs: set[str] = set()
    hashes: dict[str, str | None] = {}

    def add(self, read: ReadResult, counts: PublishCounts) -> None:
        """Add what is left of a range that was computed."""
        self.counts.add(counts)
        add_counts(self.counted, read.records.counted)
        self.listed += read.records.listed
        self.older += read.others_older()
        self.drugs |= named_drugs(read.records.records.values())

    def merge(self, other: "RangeShare") -> None:
        """Add what another process found."""
        self.counts.add(other.counts)
        add_counts(self.counted, other.counted)
        self.listed += other.listed
        self.older += other.older
        self.drugs |= other.drugs
        self.hashes.update(other.hashes)


def read_range(name: str, found: CollectedRanges, number: int, lacking: Lacking) -> ReadResult:
    """The records of one range, and what belongs to none of them."""
    collected = found.collected
    collector = found.collector.load(number, found.unmapped)
    collector.apply_deletions()
    collector.note_unmapped_primaries()
    records = assemble(collector.items, collector.facts, collected.patients, found.shared)
    return ReadResult(name, None, replace(collected, items=collector.items), records, lacking)


def rest_of(name: str, found: CollectedRanges, total: RangeShare, lacking: Lacking) -> ReadResult:
    """What was read of a source without the records, given what all ranges gave."""
    counted = Counter(found.collected.facts.counted)
    counted.update(total.counted)
    drugs = count_drugs(found.shared.values(), total.drugs, counted)
    rest = Records({}, counted, total.listed, total.older, drugs)
    return ReadResult(name, None, found.collected, rest, lacking)
