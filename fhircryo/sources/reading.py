"""Reads a source onto a shelf: the files that may hold index procedures first, then the rest.

Knowing the candidates first, what belongs to other patients is counted and let go at once. Where
that turns out too early (a Procedure in a file named otherwise, a patient merged later, versions of
a resource that differ in whether they are of use), everything is read again with that knowledge.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from fhircryo.errors import UnreadableResource
from fhircryo.extract.context import Context
from fhircryo.extract.extractor import extract
from fhircryo.fhir.decode import BUNDLE_TYPE, decode, kind_of, resources
from fhircryo.fhir.input_files import InputFile, Part, parts, read_batches
from fhircryo.fhir.wire import DECODERS
from fhircryo.mapping.concepts import GRADINGS
from fhircryo.record.collector import Patients, RecordCollector, Unreadable
from fhircryo.record.items import PatientFacts
from fhircryo.runs.processes import Turns, in_parallel

PART_SIZE = 16 << 20
# What is smaller is read faster by one process than several can be started.
_WORTH_SHARING = 8 << 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Selection:
    """Which patients may be computed: the list asked for, less those who objected."""

    include: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()

    def patients(self, shelf: RecordCollector) -> Patients:
        """Who is who, by what the shelf knows of merged patients."""
        return Patients(shelf.links, self.include, self.exclude)


#: Whoever is in the source.
ALL_PATIENTS = Selection()


def read_lines(
    lines: Iterable[bytes], shelf: RecordCollector, context: Context, part: int, *, first: int = 1
) -> int:
    """Read lines onto the shelf; the number of those that hold something.

    ``first``: the number of the first line in its part (from 1).
    """
    filled = 0
    seen = dict.fromkeys(DECODERS, 0)
    take = shelf.take
    for number, line in enumerate(lines, first):
        try:
            if not line.isascii():
                line.decode("utf-8")  # also what is not read must be UTF-8
            kind, resource = decode(line)
            if resource is None:
                shelf.seen[kind] += 1
            elif kind == BUNDLE_TYPE:
                _read_bundle(line, shelf, context, part, number)
            else:
                item = extract(kind, resource, context)
                shelf.sequence += 1
                item.sequence = shelf.sequence
                take(item)
                seen[kind] += 1
        except UnreadableResource as error:
            if not line.strip():
                continue
            shelf.unreadable.append(Unreadable(part, number, "", str(error), kind_of(line)))
        except UnicodeDecodeError:
            kind = kind_of(line)
            shelf.unreadable.append(Unreadable(part, number, "", "not UTF-8", kind))
        filled += 1
    shelf.seen.update(seen)
    return filled


def _read_bundle(
    line: bytes, shelf: RecordCollector, context: Context, part: int, number: int
) -> None:
    for found in resources(line, context.bundle):
        error = found.error
        if found.resource is not None:
            try:
                item = extract(found.kind, found.resource, context)
            except UnreadableResource as problem:
                error = str(problem)
            else:
                shelf.sequence += 1
                item.sequence = shelf.sequence
                shelf.take(item)
        if error:
            place = found.place.rstrip(".")
            shelf.unreadable.append(Unreadable(part, number, place, error, found.kind))
        else:
            shelf.seen[found.kind] += 1


def read_part(part: Part, shelf: RecordCollector, context: Context) -> None:
    """Read a part of a file onto the shelf."""
    lines = filled = 0
    shelf.sequence = part.number << 40
    try:
        for batch in read_batches(part):
            filled += read_lines(batch, shelf, context, part.number, first=lines + 1)
            lines += len(batch)
    except UnreadableResource as error:
        shelf.unreadable.append(Unreadable(part.number, 0, "", str(error)))
        filled += 1
    shelf.overlays_met |= context.overlays_met
    shelf.lines[part.number] = lines
    shelf.filled[part.number] = filled


@dataclass(frozen=True)
class Reading:
    """What reading a source gave: the shelf, who is who, and how to name what was unreadable.

    ``present``: the types that the source holds; ``graded``: the scales of which it holds
    Observations that grade; ``at``: the server's time, where one bulk export told all of it.
    """

    shelf: RecordCollector
    patients: Patients
    place: Callable[[Unreadable], str]
    present: frozenset[str]
    graded: frozenset[str]
    at: str | None = None


def present_types(shelf: RecordCollector) -> frozenset[str]:
    """The types of all resources that were met, readable or not."""
    found = {kind for kind, number in shelf.seen.items() if number}
    return frozenset(found | {one.kind for one in shelf.unreadable})


def _place(parts: Sequence[Part], lines: dict[int, int], unreadable: Unreadable) -> str:
    """``file:line`` (with the Bundle's entry) of what could not be read."""
    part = parts[unreadable.part]
    name = part.file.name
    if unreadable.line:
        before = sum(
            lines.get(other.number, 0)
            for other in parts
            if other.file is part.file and other.number < part.number
        )
        name = f"{name}:{before + unreadable.line}"
    return f"{name} {unreadable.within}" if unreadable.within else name


def read_folder(
    files: list[InputFile],
    context: Context,
    selection: Selection,
    workers: int = 1,
    progress: Progress | None = None,
) -> Reading:
    """Read all files of a folder.

    ``progress`` is called with the parts of the files read so far and those to read.
    """
    labels = grading_labels(context)
    all_parts = parts(files, PART_SIZE)
    stages = _stages(all_parts)
    watched: frozenset[str] = frozenset()
    known: frozenset[str] | None = None
    while True:
        shelf = RecordCollector(
            labels,
            watched=watched,
            trace_patient=context.trace_patient,
            asked=selection.include or frozenset(),
        )
        least: frozenset[str] | None = None
        for number, stage in enumerate(stages):
            shelf.wanted = known
            if number and known is None:
                shelf.wanted = selection.patients(shelf).wanted(shelf.patients)
                least = shelf.wanted if least is None else least
            _read_stage(stage, shelf, context, workers, progress)
        wanted = selection.patients(shelf).wanted(shelf.patients)
        kept_all = known if known is not None else least
        doubtful = shelf.doubtful()
        complete = kept_all is None or wanted <= kept_all
        if complete and not doubtful:
            break
        known = wanted | (known or frozenset())
        watched |= doubtful
    _tell_empty_files(shelf, all_parts)
    shelf.links = links(shelf)
    return Reading(
        shelf,
        selection.patients(shelf),
        partial(_place, all_parts, shelf.lines),
        present_types(shelf),
        frozenset(shelf.graded),
    )


def read_memory(lines: Sequence[bytes], context: Context, selection: Selection) -> Reading:
    """Read resources that are in memory, a line each."""
    watched: frozenset[str] = frozenset()
    while True:
        shelf = RecordCollector(grading_labels(context), watched=watched)
        read_lines(lines, shelf, context, 0)
        shelf.overlays_met |= context.overlays_met
        doubtful = shelf.doubtful()
        if not doubtful:
            break
        watched |= doubtful

    def place(unreadable: Unreadable) -> str:
        return f"<memory>:{unreadable.line} {unreadable.within}".strip()

    shelf.links = links(shelf)
    patients = selection.patients(shelf)
    return Reading(shelf, patients, place, present_types(shelf), frozenset(shelf.graded))


def links(shelf: RecordCollector) -> dict[str, str]:
    """Who was replaced by whom; a later version of a patient may have taken a link back."""
    return {
        item.patient: item.replaced_by
        for item in shelf.kept.values()
        if type(item) is PatientFacts and item.replaced_by
    }


def grading_labels(context: Context) -> dict[str, str]:
    """How Observations that grade complications are labelled, and the scale of each."""
    found = {}
    for index in (context.mappings.codes, context.mappings.texts):
        for entries in index.values():
            found.update({one.label: one.of for one in entries if one.concept in GRADINGS})
    return found


def _stages(all_parts: list[Part]) -> list[list[Part]]:
    """Parts that may hold index procedures, then patients, then the rest."""
    stages: list[list[Part]] = [[], [], []]
    for part in all_parts:
        hint = part.file.hint
        if hint in (None, "Procedure", BUNDLE_TYPE):
            stages[0].append(part)
        else:
            stages[1 if hint == "Patient" else 2].append(part)
    return stages


def _read_stage(
    stage: list[Part],
    shelf: RecordCollector,
    context: Context,
    workers: int,
    progress: Progress | None,
) -> None:
    size = sum((part.end or part.file.size) - part.start for part in stage)
    workers = min(workers, len(stage)) if size >= _WORTH_SHARING else 1
    if workers <= 1:
        for number, part in enumerate(stage):
            read_part(part, shelf, context)
            if progress is not None:
                progress(number + 1, len(stage))
        return
    turns = Turns(len(stage))

    def job(worker: int) -> bytes:
        mine = shelf
        if worker:
            mine = RecordCollector(
                shelf.grading_labels,
                shelf.wanted,
                shelf.watched,
                shelf.trace_patient,
                shelf.asked,
            )
        for number in turns:
            read_part(stage[number], mine, context)
            if progress is not None and not worker:
                progress(number + 1, len(stage))
        return mine.encode() if worker else b""

    for encoded in in_parallel(job, workers)[1:]:
        shelf.merge(encoded)


def _tell_empty_files(shelf: RecordCollector, all_parts: list[Part]) -> None:
    filled: dict[str, int] = {}
    first: dict[str, int] = {}
    for part in all_parts:
        name = part.file.name
        filled[name] = filled.get(name, 0) + shelf.filled.get(part.number, 0)
        first.setdefault(name, part.number)
    for name, number in first.items():
        if not filled[name]:
            shelf.unreadable.append(Unreadable(number, 0, "", "the file is empty"))
