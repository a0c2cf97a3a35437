"""A folder of FHIR files as a source.

A scan finds the candidates first, so that resources of other patients are counted and discarded at
once. Where reading finds more (a Procedure in a file named after another type, versions of a
resource that differ in whether they are of use), the files are read again with that knowledge.

To explain a few patients, the lines of others are recognised by their text and passed over.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from fhircryo.errors import UnreadableResource
from fhircryo.extract.context import Context
from fhircryo.extract.lines import SCANNED_CONTAINERS, SCANNED_TYPES, read, scan
from fhircryo.extract.other_patients import OtherPatients, grading_codes
from fhircryo.fhir.file_lines import DEFAULT_LIMITS, FileLimits
from fhircryo.fhir.input_files import FilePart, InputFile, input_files, parts
from fhircryo.record.collector import Facts, RecordCollector, Unreadable
from fhircryo.record.items import Item
from fhircryo.record.known import Known
from fhircryo.record.patients import Patients
from fhircryo.settings import ServerSettings
from fhircryo.sources.source import (
    Collected,
    ReadRequest,
    current_links,
    not_applied,
    present_types,
)

PART_SIZE = 16 << 20
#: The lines of others are passed over where so few ids are looked for. To look for more takes
#: longer than to read everything.
_FEW = 20


def file_limits(settings: ServerSettings) -> FileLimits:
    """The limits on the files of a folder, by the settings of the source."""
    return FileLimits(settings.max_line_mb, settings.max_unpacked_gb)


class InputParts(Protocol):
    """Files in the parts that a driver distributes.

    ``passed_over``: the names of what else is beside the files.
    """

    @property
    def passed_over(self) -> Sequence[str]: ...  # noqa: D102  as the class says

    def parts(self) -> Sequence[FilePart]:
        """The parts to read, in the order of the files."""

    def parts_read(self, facts: Facts) -> Sequence[FilePart]:
        """The parts that were read, in order: an engine may have divided them further."""


@dataclass(frozen=True)
class LocalFiles:
    """Files of this machine."""

    files: Sequence[InputFile]
    passed_over: Sequence[str] = ()

    def parts(self) -> Sequence[FilePart]:
        """The parts to read, in the order of the files."""
        return parts(list(self.files), PART_SIZE)

    def parts_read(self, facts: Facts) -> Sequence[FilePart]:  # noqa: ARG002  an interface
        """The same parts: they are read as they are."""
        return self.parts()


class FolderSource:
    """A folder of NDJSON files and JSON documents, with its subfolders.

    Raises:
        SourceError: there is no such folder, or it holds nothing to read.
    """

    def __init__(self, folder: Path, limits: FileLimits = DEFAULT_LIMITS) -> None:
        self.name = str(folder)
        self.server: str | None = None
        self.content = LocalFiles(*input_files(folder, limits))

    def collect(self, request: ReadRequest) -> Collected:
        """Read all files of the folder."""
        return collect_files(self.content, request, request.context())


def collect_files(files: InputParts, request: ReadRequest, context: Context) -> Collected:
    """Read files; ``context`` belongs to the server where they come from a bulk export."""
    collector = _read_all(files.parts(), request, context)
    facts = collector.facts
    deleted = collector.apply_deletions()
    collector.note_unmapped_primaries()
    facts.links = current_links(collector.items)
    patients = Patients(facts.links, request.selection.without(deleted))
    return collected_of(files, collector.items, facts, patients)


def collected_of(
    files: InputParts, items: dict[str, Item], facts: Facts, patients: Patients
) -> Collected:
    """What reading all parts of the files of a folder gave."""
    all_parts = files.parts_read(facts)
    _report_empty_files(facts, all_parts)
    return Collected(
        items=items,
        facts=facts,
        patients=patients,
        place=_places(all_parts, facts.lines),
        present=present_types(facts),
        graded=frozenset(facts.graded),
        files=list(dict.fromkeys(part.file for part in all_parts)),
        passed_over=[*files.passed_over, *not_applied(facts)],
    )


def _read_all(
    all_parts: Sequence[FilePart], request: ReadRequest, context: Context
) -> RecordCollector:
    """Read the parts until everything is retained that what was read shows to be of use."""
    known, traced = Known(), request.traced
    gradings = grading_codes(request.mappings) if traced else None
    to_scan = [part for part in all_parts if may_name_candidates(part)]
    others = _others(traced, (), gradings)
    request.driver.collect(to_scan, partial(scan_part, context=context, others=others), known)
    wanted, watched = known.wanted(request.selection), frozenset[str]()
    while True:
        collector = RecordCollector(request.retention(wanted, watched), request.driver.hash_of)
        others = _others(known.same_persons(traced), watched, gradings)
        step = partial(read_part, context=context, others=others)
        request.driver.collect(all_parts, step, collector, request.progress)
        facts, doubtful = collector.facts, collector.doubtful()
        if traced:
            doubtful |= collector.named_outside()
        found = Known(known.candidates | facts.candidates, known.links | facts.links)
        wanted_now = found.wanted(request.selection)
        same_persons = found.same_persons(traced) <= known.same_persons(traced)
        if wanted_now <= wanted and not doubtful and same_persons:
            return collector
        # All of them only grow, so that this ends.
        wanted, watched = wanted | wanted_now, watched | doubtful
        known = found


def _others(
    ids: frozenset[str], watched: Iterable[str], gradings: Mapping[str, str] | None
) -> OtherPatients | None:
    """What recognises the lines of others than those of some ids; None if all lines are read."""
    return OtherPatients(ids, watched, gradings) if 0 < len(ids) <= _FEW else None


def may_name_candidates(part: FilePart) -> bool:
    """Whether a file's name allows Procedures or Patients in it."""
    return part.file.hint in {None, *SCANNED_CONTAINERS, *SCANNED_TYPES}


def scan_part(
    part: FilePart, known: Known, context: Context, others: OtherPatients | None = None
) -> None:
    """Add to ``known`` what a part says of candidates and of merged patients."""
    try:
        for batch in part.batches():
            if others is None or not others.references_of(batch):
                scan(batch, known, context)
    except UnreadableResource:
        return  # Reading the part reports it.


def read_part(
    part: FilePart,
    collector: RecordCollector,
    context: Context,
    others: OtherPatients | None = None,
) -> None:
    """Collect the items of a part."""
    facts = collector.facts
    lines = filled = 0
    collector.sequence = part.sequence
    try:
        for batch in part.batches():
            passed_over = others.references_of(batch, facts.graded) if others is not None else []
            if passed_over:
                collector.pass_over(passed_over)
                filled += len(batch)
            else:
                filled += read(batch, collector, context, part.number, first=lines + 1)
            lines += len(batch)
            collector.after_batch()
    except UnreadableResource as error:
        facts.unreadable.append(Unreadable(part.number, 0, "", str(error)))
        filled += 1
    facts.lines[part.number] = lines
    facts.filled[part.number] = filled


def _places(all_parts: Sequence[FilePart], lines: dict[int, int]) -> Callable[[Unreadable], str]:
    """Return what names ``file:line``, with the entry of a Bundle, of something unreadable."""
    begins: dict[int, tuple[str, int]] = {}
    read: dict[str, int] = {}
    for part in all_parts:
        name = part.file.name
        before = read.get(name, 0)
        begins[part.number] = name, before
        read[name] = before + lines.get(part.number, 0)

    def place(unreadable: Unreadable) -> str:
        name, before = begins[unreadable.part]
        if unreadable.line:
            name = f"{name}:{before + unreadable.line}"
        return f"{name} {unreadable.within}" if unreadable.within else name

    return place


def _report_empty_files(facts: Facts, all_parts: Sequence[FilePart]) -> None:
    filled: dict[str, int] = {}
    first: dict[str, int] = {}
    for part in all_parts:
        name = part.file.name
        filled[name] = filled.get(name, 0) + facts.filled.get(part.number, 0)
        first.setdefault(name, part.number)
    for name, number in first.items():
        if not filled[name]:
            facts.unreadable.append(Unreadable(number, 0, "", "the file is empty"))
