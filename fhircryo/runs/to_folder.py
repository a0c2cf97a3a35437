"""The way through the house for many patients: a source's endpoints, written to a folder."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import msgspec

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
from fhircryo.record.items import Reason
from fhircryo.runs.processes import in_parallel
from fhircryo.runs.read_source import ReadOptions, ReadResult, no_garbage_collection, read_source
from fhircryo.runs.run_config import PublishCounts, Publisher, RunConfig
from fhircryo.runs.summary import Summary, issue_writer, sum_up, write_manifest, write_other_issues
from fhircryo.sources.bulk_source import Bulk
from fhircryo.sources.open_source import ServerReading
from fhircryo.sources.places import folder_of
from fhircryo.sources.source import Progress

# Fewer patients than this are computed before a second process has started.
_PATIENTS_PER_WORKER = 200


class _PublishCountsState(msgspec.Struct):
    """What a worker did, as it goes from process to process."""

    cohort: int
    observations: int
    provenances: int
    used: int
    not_used: dict[str, int]
    notes: dict[str, int]
    counted: list[tuple[Reason, str, str, int]]
    hashes: dict[str, str | None]


def compute_folder(
    source: str | Path,
    target: Path,
    job: RunConfig,
    *,
    workers: int = 1,
    validate: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    stage: Callable[[str], None] | None = None,
    bulk: Bulk | None = None,
) -> Summary:
    """Compute a source (a folder, or a server by its URL) into a folder: all its files or none.

    ``stage`` is told what is being done, ``progress`` how far it is. ``bulk``: read a server by
    bulk export.

    Raises:
        SourceError, UsageError, TargetError: as the messages say.
    """
    check_target(target, folder_of(source), force=force)
    if stage is not None:
        stage("reading")
    server = ServerReading(target if bulk is not None else None, bulk)
    read = read_source(source, job, ReadOptions(workers, progress, server=server))
    if stage is not None:
        stage("computing")
    with writing_to(target) as work, no_garbage_collection():
        total, hashes = _write(read, job, work, workers, progress, validate=validate)
        summary = sum_up(read, job, total)
        write_manifest(work / MANIFEST, read, hashes, job, summary)
    return summary


def _write(
    read: ReadResult,
    job: RunConfig,
    work: Path,
    workers: int,
    progress: Progress | None,
    *,
    validate: bool,
) -> tuple[PublishCounts, dict[str, str | None]]:
    """Compute all patients and write the target's files; what was done, and the input's hashes."""
    records = sorted(read.records.records.values(), key=lambda record: record.patient)
    workers = max(1, min(workers, len(records) // _PATIENTS_PER_WORKER))
    older = read.older
    slices = [PublishCounts() for _ in range(workers)]
    hashes: dict[str, str | None] = {}

    def compute_slice(number: int) -> bytes:
        start, end = (len(records) * n // workers for n in (number, number + 1))
        publisher = Publisher(job, read.lacking, older)
        with ExitStack() as files, ThreadPoolExecutor(1) as beside:
            # Hashing lets go of the interpreter, and so costs next to nothing beside computing.
            mine = read.collected.files[number::workers]
            hashing = beside.submit(lambda: {file.name: file.sha256() for file in mine})
            observations, provenances, issues = (
                files.enter_context((work / _piece(name, number)).open("xb"))
                for name in (OBSERVATIONS, PROVENANCES, ISSUES)
            )
            tell = issue_writer(issues, job)
            for done, record in enumerate(records[start:end], 1):
                publisher.publish(record, observations.write, provenances.write, tell)
                if progress is not None and not number and not done % 100:
                    progress(done, end - start)
        slices[number] = publisher.slice
        hashes.update(hashing.result())
        return _encode(publisher.slice, hashes) if number else b""

    encoded = in_parallel(compute_slice, workers)
    total = slices[0]
    for state in map(_STATE.decode, encoded[1:]):
        _add(total, state)
        hashes.update(state.hashes)
    for name in (OBSERVATIONS, PROVENANCES, ISSUES):
        _join([work / _piece(name, number) for number in range(workers)], work / name)
    (work / DEVICES).write_bytes(ENCODER.encode(device(job.mappings.base)) + b"\n")
    with (work / ISSUES).open("ab") as issues:
        write_other_issues(issues, read, job, total)
    if validate:
        for name in (OBSERVATIONS, PROVENANCES, DEVICES, ISSUES):
            with (work / name).open("rb") as lines:
                for line in lines:
                    validate_line(line)
    return total, hashes


def _piece(name: str, number: int) -> str:
    return f"{name}.{number}"


def _join(pieces: list[Path], whole: Path) -> None:
    """Append the pieces to the first and give it its name."""
    with pieces[0].open("ab") as file:
        for piece in pieces[1:]:
            with piece.open("rb") as more:
                shutil.copyfileobj(more, file, 1 << 20)
            piece.unlink()
    pieces[0].rename(whole)


_STATE = msgspec.msgpack.Decoder(_PublishCountsState)


def _encode(done: PublishCounts, hashes: dict[str, str | None]) -> bytes:
    counted = [(*key, count) for key, count in done.counted.items()]
    return msgspec.msgpack.encode(
        _PublishCountsState(
            done.cohort,
            done.observations,
            done.provenances,
            done.used,
            dict(done.not_used),
            dict(done.notes),
            counted,
            hashes,
        )
    )


def _add(total: PublishCounts, more: _PublishCountsState) -> None:
    total.cohort += more.cohort
    total.observations += more.observations
    total.provenances += more.provenances
    total.used += more.used
    total.not_used.update(more.not_used)
    total.notes.update(more.notes)
    for reason, kind, code, count in more.counted:
        total.counted[reason, kind, code] += count
