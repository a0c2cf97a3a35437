"""A run from a source to a folder."""

import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
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
from fhircryo.runs.summary import Summary, issue_writer, sum_up, write_manifest, write_other_issues
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
    check_target(target, folder_of(source), force=force)
    how = execution or Execution()
    how.begin("reading")
    server = ServerReading(target if how.bulk is not None else None, how.bulk)
    read = read_source(source, config, ReadOptions(how.workers, how.progress, server=server))
    how.begin("computing")
    with writing_to(target) as work, no_garbage_collection():
        total, hashes = _write(read, config, work, how, validate=validate)
        summary = sum_up(read, config, total)
        write_manifest(work / MANIFEST, read, hashes, config, summary)
    return summary


def _write(
    read: ReadResult,
    config: RunConfig,
    work: Path,
    how: Execution,
    *,
    validate: bool,
) -> tuple[PublishCounts, dict[str, str | None]]:
    """Compute all patients and write their files; returns the counts and the input's hashes."""
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
            hashing = beside.submit(lambda: {file.name: file.sha256() for file in mine})
            counts = _write_slice(pieces, work, number, config)
        return msgspec.msgpack.encode(_SliceResult(counts, hashing.result()))

    total = PublishCounts()
    hashes: dict[str, str | None] = {}
    for result in map(_RESULT.decode, in_parallel(compute_slice, workers)):
        total.add(result.counts)
        hashes.update(result.hashes)
    for name in (OBSERVATIONS, PROVENANCES, ISSUES):
        _join([work / _piece(name, number) for number in range(workers)], work / name)
    (work / DEVICES).write_bytes(ENCODER.encode(device(config.mappings.base)) + b"\n")
    with (work / ISSUES).open("ab") as issues:
        write_other_issues(issues, read, config, total)
    if validate:
        for name in (OBSERVATIONS, PROVENANCES, DEVICES, ISSUES):
            with (work / name).open("rb") as lines:
                for line in lines:
                    validate_line(line)
    return total, hashes


def _write_slice(
    pieces: Iterable[PatientPiece[FolderOutput]], work: Path, number: int, config: RunConfig
) -> PublishCounts:
    """Write the pieces of some patients to the files of one slice; returns their counts."""
    counts = PublishCounts()
    with ExitStack() as files:
        observations, provenances, issues = (
            files.enter_context((work / _piece(name, number)).open("xb"))
            for name in (OBSERVATIONS, PROVENANCES, ISSUES)
        )
        report = issue_writer(issues, config)
        for piece in pieces:
            counts.add(piece.counts)
            if piece.output is not None:
                observations.write(piece.output.observation_lines)
                provenances.write(piece.output.provenance_line)
            for issue in piece.issues:
                report(issue, piece.patient)
    return counts


def _with_progress(
    pieces: Iterable[PatientPiece[FolderOutput]], total: int, progress: Progress
) -> Iterator[PatientPiece[FolderOutput]]:
    for done, piece in enumerate(pieces, 1):
        yield piece
        if not done % 100:
            progress(done, total)


def _piece(name: str, number: int) -> str:
    return f"{name}.{number}"


def _join(pieces: list[Path], whole: Path) -> None:
    """Append the pieces to the first one and rename it."""
    with pieces[0].open("ab") as file:
        for piece in pieces[1:]:
            with piece.open("rb") as more:
                shutil.copyfileobj(more, file, 1 << 20)
            piece.unlink()
    pieces[0].rename(whole)
