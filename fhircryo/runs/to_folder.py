"""A run from a source to a folder."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from fhircryo.publish.folder_output import FolderOutput
from fhircryo.publish.folder_target import (
    DEVICES,
    ISSUES,
    MANIFEST,
    OBSERVATIONS,
    PROVENANCES,
    check_target,
    writing_to,
)
from fhircryo.publish.provenance import device
from fhircryo.publish.shapes import ENCODER
from fhircryo.publish.validate import validate_line
from fhircryo.runs.by_ranges import write_ranges
from fhircryo.runs.execution import Execution
from fhircryo.runs.processes import in_parallel
from fhircryo.runs.publish_patients import (
    PatientPiece,
    PublishCounts,
    folder_outputs,
    publish_patients,
)
from fhircryo.runs.read_source import (
    ReadOptions,
    ReadResult,
    no_garbage_collection,
    read_source,
)
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.slices import Written, hashes_of, join_slices, write_slice
from fhircryo.runs.summary import Summary, sum_up, write_manifest, write_other_issues
from fhircryo.runs.workload import ranges_for
from fhircryo.sources.folder_source import FolderSource, file_limits
from fhircryo.sources.open_source import ServerReading
from fhircryo.sources.places import folder_of
from fhircryo.sources.source import Progress

# Starting another process takes longer than computing fewer patients than this.
_PATIENTS_PER_WORKER = 200


class _SliceResult(msgspec.Struct):
    """The result of a process that computed a slice of the patients."""

    counts: PublishCounts
    hashes: dict[str, str | None]


_RESULT = msgspec.msgpack.Decoder(_SliceResult)


def compute_folder(
    source: str | Path,
    target: Path,
    config: RunConfig,
    execution: Execution | None = None,
    *,
    validate: bool = False,
    force: bool = False,
) -> Summary:
    """Compute a source (a folder or the base URL of a server) into a folder.

    Either all files of the folder are written or none. ``validate``: check every published resource
    against FHIR's models. ``force``: replace a folder that an earlier run wrote.

    Raises:
        SourceError, UsageError, TargetError: as the messages say.
    """
    folder = folder_of(source)
    check_target(target, folder, force=force)
    how = execution or Execution()
    how.begin("reading")
    if folder is not None:
        files = FolderSource(folder, file_limits(config.settings.source))
        count = ranges_for(files.content.files, how)
        if count > 1:
            with writing_to(target) as work, no_garbage_collection():
                written = write_ranges(files, config, work, how, count)
                if written is not None:
                    return finish_folder(written, config, work, validate=validate)
                written = write_patients(_read(source, target, config, how), config, work, how)
                return finish_folder(written, config, work, validate=validate)
    read = _read(source, target, config, how)
    with writing_to(target) as work, no_garbage_collection():
        return finish_folder(
            write_patients(read, config, work, how), config, work, validate=validate
        )


def _read(source: str | Path, target: Path, config: RunConfig, how: Execution) -> ReadResult:
    """Read everything into memory."""
    server = ServerReading(target if how.bulk is not None else None, how.bulk)
    read = read_source(source, config, ReadOptions(how.workers, how.progress, server=server))
    how.begin("computing")
    return read


def finish_folder(written: Written, config: RunConfig, work: Path, *, validate: bool) -> Summary:
    """Write what belongs to no patient, and the manifest."""
    (work / DEVICES).write_bytes(ENCODER.encode(device(config.mappings.base)) + b"\n")
    with (work / ISSUES).open("ab") as issues:
        write_other_issues(issues, written.read, config, written.total)
    if validate:
        for name in (OBSERVATIONS, PROVENANCES, DEVICES, ISSUES):
            with (work / name).open("rb") as lines:
                for line in lines:
                    validate_line(line)
    summary = sum_up(written.read, config, written.total)
    write_manifest(work / MANIFEST, written.read, written.hashes, config, summary)
    return summary


def write_patients(read: ReadResult, config: RunConfig, work: Path, how: Execution) -> Written:
    """Compute all patients and write their files."""
    records = sorted(read.records.records.values(), key=lambda record: record.patient)
    workers = max(1, min(how.workers, len(records) // _PATIENTS_PER_WORKER))
    older, context = read.older, config.publish_context

    def compute_slice(number: int) -> bytes:
        start, end = (len(records) * n // workers for n in (number, number + 1))
        pieces = publish_patients(
            records[start:end], read.lacking, older, context, folder_outputs(context)
        )
        if how.progress is not None and not number:
            pieces = _with_progress(pieces, end - start, how.progress)
        with ThreadPoolExecutor(1) as beside:
            # Hashing releases the interpreter lock, so it costs next to nothing beside computing.
            mine = read.collected.files[number::workers]
            hashing = beside.submit(hashes_of, mine)
            counts = write_slice(pieces, work, number, config.mappings.base)
        return msgspec.msgpack.encode(_SliceResult(counts, hashing.result()))

    total = PublishCounts()
    hashes: dict[str, str | None] = {}
    for result in map(_RESULT.decode, in_parallel(compute_slice, workers)):
        total.add(result.counts)
        hashes.update(result.hashes)
    join_slices(work, workers)
    return Written(read, total, hashes)


def _with_progress(
    pieces: Iterable[PatientPiece[FolderOutput]], total: int, progress: Progress
) -> Iterator[PatientPiece[FolderOutput]]:
    for done, piece in enumerate(pieces, 1):
        yield piece
        if not done % 100:
            progress(done, total)
