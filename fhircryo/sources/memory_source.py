"""Resources in memory as a source: for tests, notebooks and other programs."""

from collections.abc import Sequence

from fhircryo.extract.lines import read
from fhircryo.record.collector import RecordCollector, Unreadable
from fhircryo.record.patients import Patients
from fhircryo.sources.source import (
    Collected,
    ReadRequest,
    current_links,
    not_applied,
    present_types,
)


class MemorySource:
    """Lines of FHIR JSON that are in memory already."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.name = ""
        self.server: str | None = None
        self._lines = lines

    def collect(self, request: ReadRequest) -> Collected:
        """Read the lines; resources of all patients are retained."""
        context = request.context()
        watched: set[str] = set()
        while True:
            collector = RecordCollector(request.retention(watched=frozenset(watched)))
            read(self._lines, collector, context, 0)
            doubtful = collector.doubtful()
            if not doubtful:
                break
            watched |= doubtful
        facts = collector.facts
        deleted = collector.apply_deletions()
        collector.note_unmapped_primaries()
        facts.links = current_links(collector.items)
        return Collected(
            items=collector.items,
            facts=facts,
            patients=Patients(facts.links, request.selection.without(deleted)),
            place=_place,
            present=present_types(facts),
            graded=frozenset(facts.graded),
            passed_over=not_applied(facts),
        )


def _place(unreadable: Unreadable) -> str:
    return f"<memory>:{unreadable.line} {unreadable.within}".strip()
