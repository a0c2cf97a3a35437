"""A run over a whole source: read it, compute its patients, write the target, sum up."""

import gc
import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import msgspec

from fhircryo import __version__
from fhircryo.endpoints.compute import PatientEndpoints
from fhircryo.fhir.folder import InputFile, input_files
from fhircryo.fhir.wire import DECODERS
from fhircryo.gather import Counted, Records, Shelf, assemble
from fhircryo.job import Job, Publisher, Slice
from fhircryo.mapping.load import Mappings, load_mappings, load_protocol
from fhircryo.mapping.protocol import Protocol
from fhircryo.model import Lacking, Notice, Reason
from fhircryo.parallel import in_parallel
from fhircryo.publish.folder import (
    DEVICES,
    ISSUES,
    MANIFEST,
    OBSERVATIONS,
    PROVENANCES,
    check_target,
    writing_to,
)
from fhircryo.publish.outcome import outcome
from fhircryo.publish.provenance import device
from fhircryo.publish.validate import validate_line
from fhircryo.publish.wire import ENCODER
from fhircryo.reading import (
    ALL_PATIENTS,
    Progress,
    Reading,
    Selection,
    read_folder,
    read_memory,
)
from fhircryo.settings import Settings

# Fewer patients than this are computed before a second process has started.
_PATIENTS_PER_WORKER = 200


class Summary(msgspec.Struct):
    """What a run did, in numbers.

    ``resources``: all that were read as FHIR; ``used`` and ``not_used`` (by reason, the unreadable
    aside) add up to those of the types that are read; ``unreadable``: lines, entries and files.
    ``notes``: used all the same, by what is to be said of them.
    """

    patients: int = 0
    cohort: int = 0
    observations: int = 0
    provenances: int = 0
    resources: int = 0
    read_by_type: dict[str, int] = {}
    other_types: dict[str, int] = {}
    used: int = 0
    not_used: dict[str, int] = {}
    notes: dict[str, int] = {}
    unreadable: int = 0
    lacking: list[str] = []
    unknown_patients: list[str] = []
    passed_over: list[str] = []


class _SliceState(msgspec.Struct):
    """What a worker did, as it goes from process to process."""

    cohort: int
    observations: int
    provenances: int
    used: int
    not_used: dict[str, int]
    notes: dict[str, int]
    counted: list[tuple[Reason, str, str, int]]
    hashes: dict[str, str | None]


@dataclass(frozen=True)
class FolderRead:
    """A folder's records, ready to compute."""

    files: list[InputFile]
    passed_over: list[str]
    reading: Reading
    records: Records
    lacking: Lacking


def read_source(
    source: Path,
    job: Job,
    workers: int = 1,
    progress: Progress | None = None,
    told_in_full: str = "",
) -> FolderRead:
    """Read a folder into records; of one patient also what only counts may be kept.

    Raises:
        SourceError: it is not there, or holds nothing to read.
    """
    files, passed_over = input_files(source)
    with _no_garbage_collection():
        reading = read_folder(files, job.context(told_in_full), job.selection, workers, progress)
        records = assemble(reading.shelf, reading.patients)
    return FolderRead(
        files,
        passed_over,
        reading,
        records,
        job.lacking(reading.present, gradings=reading.gradings),
    )


def compute_folder(
    source: Path,
    target: Path,
    job: Job,
    *,
    workers: int = 1,
    validate: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    stage: Callable[[str], None] | None = None,
) -> Summary:
    """Compute a folder into a folder: all its files or none.

    ``stage`` is told what is being done, ``progress`` how far it is.

    Raises:
        SourceError, UsageError, TargetError: as the messages say.
    """
    check_target(target, source, force=force)
    if stage is not None:
        stage("reading")
    read = read_source(source, job, workers, progress)
    if stage is not None:
        stage("computing")
    with writing_to(target) as work, _no_garbage_collection():
        total, hashes = _write(read, job, work, workers, progress, validate=validate)
        summary = _sum_up(read, job, total)
        _write_manifest(work / MANIFEST, read.files, hashes, job, summary)
    return summary


def _write(
    read: FolderRead,
    job: Job,
    work: Path,
    workers: int,
    progress: Progress | None,
    *,
    validate: bool,
) -> tuple[Slice, dict[str, str | None]]:
    """Compute all patients and write the target's files; what was done, and the input's hashes."""
    records = sorted(read.records.records.values(), key=lambda record: record.patient)
    workers = max(1, min(workers, len(records) // _PATIENTS_PER_WORKER))
    older = _older_by_patient(read)
    slices = [Slice() for _ in range(workers)]
    hashes: dict[str, str | None] = {}

    def compute_slice(number: int) -> bytes:
        start, end = (len(records) * n // workers for n in (number, number + 1))
        publisher = Publisher(job, read.lacking, older)
        with ExitStack() as files, ThreadPoolExecutor(1) as beside:
            # Hashing lets go of the interpreter, and so costs next to nothing beside computing.
            mine = read.files[number::workers]
            hashing = beside.submit(lambda: {file.name: file.sha256() for file in mine})
            observations, provenances, issues = (
                files.enter_context((work / _piece(name, number)).open("xb"))
                for name in (OBSERVATIONS, PROVENANCES, ISSUES)
            )
            tell = _issue_writer(issues, job)
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
        _write_other_issues(issues, read, job, total)
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


_STATE = msgspec.msgpack.Decoder(_SliceState)


def _encode(done: Slice, hashes: dict[str, str | None]) -> bytes:
    counted = [(*key, count) for key, count in done.counted.items()]
    return msgspec.msgpack.encode(
        _SliceState(
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


def _add(total: Slice, more: _SliceState) -> None:
    total.cohort += more.cohort
    total.observations += more.observations
    total.provenances += more.provenances
    total.used += more.used
    total.not_used.update(more.not_used)
    total.notes.update(more.notes)
    for reason, kind, code, count in more.counted:
        total.counted[reason, kind, code] += count


def _older_by_patient(read: FolderRead) -> dict[str, list[Notice]]:
    """Older versions of the records' resources, by patient; those of others only count."""
    found: dict[str, list[Notice]] = {}
    for older in sorted(read.records.older):
        current = read.reading.patients.current(older.patient) if older.patient else ""
        if current in read.records.records:
            notice = Notice(older.ref, Reason.SUPERSEDED, "an older version of it")
            found.setdefault(current, []).append(notice)
    return found


def _issue_writer(file: IO[bytes], job: Job) -> Callable[[Notice, str], None]:
    base = job.mappings.base
    encode = ENCODER.encode

    def tell(notice: Notice, patient: str) -> None:
        what = f"{notice.ref} (Patient/{patient})" if patient else notice.ref
        made = outcome(notice.reason, what, base, detail=notice.detail, note=notice.used)
        file.write(encode(made) + b"\n")

    return tell


def _write_other_issues(file: IO[bytes], read: FolderRead, job: Job, total: Slice) -> None:
    """What is of no patient of the cohort: unreadable, listed by name, or counted by code."""
    base = job.mappings.base
    tell = _issue_writer(file, job)
    for notice, patient in sorted(read.records.listed):
        tell(notice, patient)
    for unreadable in sorted(read.reading.shelf.unreadable):
        made = outcome(
            Reason.UNREADABLE,
            read.reading.place(unreadable),
            base,
            detail=unreadable.detail,
        )
        file.write(ENCODER.encode(made) + b"\n")
    for (reason, kind, code), count in sorted(all_counted(read.records, total).items()):
        made = outcome(reason, f"{kind} {code}", base, detail=f"{count} resources")
        file.write(ENCODER.encode(made) + b"\n")


def all_counted(records: Records, total: Slice) -> Counter[Counted]:
    """What is counted per code, over all patients."""
    return records.counted + total.counted


def _sum_up(read: FolderRead, job: Job, total: Slice) -> Summary:
    shelf = read.reading.shelf
    not_used = Counter(total.not_used)
    for (reason, _, _), count in all_counted(read.records, total).items():
        not_used[reason] += count
    for notice, _ in read.records.listed:
        not_used[notice.reason] += 1
    in_records = sum(len(notices) for notices in _older_by_patient(read).values())
    not_used[Reason.SUPERSEDED] += len(read.records.older) - in_records
    types = Counter(shelf.seen)
    return Summary(
        patients=types["Patient"],
        cohort=total.cohort,
        observations=total.observations,
        provenances=total.provenances,
        resources=types.total(),
        read_by_type={kind: types[kind] for kind in DECODERS if types[kind]},
        other_types={kind: types[kind] for kind in sorted(types) if kind not in DECODERS},
        used=total.used,
        not_used={str(reason): not_used[reason] for reason in Reason if not_used[reason]},
        notes={str(reason): total.notes[reason] for reason in Reason if total.notes[reason]},
        unreadable=len(shelf.unreadable),
        lacking=lacking_words(read.lacking),
        unknown_patients=_unknown(job.selection, shelf),
        passed_over=read.passed_over,
    )


def lacking_words(lacking: Lacking) -> list[str]:
    """The types that the source lacks."""
    found = ["Condition"] if lacking.conditions else []
    return [*found, "AdverseEvent"] if lacking.adverse_events else found


def _unknown(selection: Selection, shelf: Shelf) -> list[str]:
    """Patients asked for of whom nothing was read."""
    if selection.include is None:
        return []
    return sorted(selection.include - shelf.met)


def _write_manifest(
    path: Path, files: list[InputFile], hashes: dict[str, str | None], job: Job, summary: Summary
) -> None:
    """What made this: versions and hashes, as-of, inputs, counts."""
    content = {
        "fhircryo": __version__,
        "as_of": job.as_of.isoformat(),
        "protocol": {
            "id": job.protocol.id,
            "version": job.protocol.version,
            "sha256": _hash_of(job.protocol),
        },
        "mappings": {"files": list(job.mappings.files), "sha256": job.mappings.sha256},
        "selection": {
            "patients": None if job.selection.include is None else len(job.selection.include),
            "excluded": len(job.selection.exclude),
        },
        "settings": job.settings.model_dump(mode="json", exclude={"protocol", "mappings"}),
        "inputs": [
            {"name": file.name, "size": file.size, "sha256": hashes[file.name]} for file in files
        ],
        "counts": summary,
    }
    path.write_bytes(msgspec.json.format(ENCODER.encode(content), indent=2) + b"\n")


def _hash_of(protocol: Protocol) -> str:
    return hashlib.sha256(protocol.model_dump_json(by_alias=True).encode()).hexdigest()


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Millions of records that all live to the end only cost the collector's time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@dataclass
class Issue:
    """Something told of a resource: why it is not used, or (``used``) what is odd about it."""

    name: str
    patient: str | None
    reason: str
    detail: str
    used: bool = False


@dataclass
class Outcome:
    """What computing resources in memory gives: as published, and as told."""

    observations: list[dict[str, Any]] = field(default_factory=list)
    provenances: list[dict[str, Any]] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    counted: dict[tuple[str, str, str], int] = field(default_factory=dict)


def compute_resources(
    resources: Iterable[dict[str, Any] | bytes],
    as_of: date,
    protocol: Protocol | None = None,
    mappings: Mappings | None = None,
    settings: Settings | None = None,
    selection: Selection = ALL_PATIENTS,
) -> Outcome:
    """Compute resources in memory: FHIR JSON as dicts (numbers as int or Decimal) or as lines."""
    settings = settings or Settings()
    job = Job(
        mappings or load_mappings(settings.mappings, settings.base),
        protocol or load_protocol(settings.protocol),
        as_of,
        settings,
        selection,
    )
    context = job.context()
    lines = [line if isinstance(line, bytes) else ENCODER.encode(line) for line in resources]
    reading = read_memory(lines, context, selection)
    shelf, patients = reading.shelf, reading.patients
    records = assemble(shelf, patients)
    lacking = job.lacking(reading.present, gradings=reading.gradings)
    older: dict[str, list[Notice]] = {}
    done = Outcome()
    for one in sorted(shelf.older):
        current = patients.current(one.patient) if one.patient else ""
        notice = Notice(one.ref, Reason.SUPERSEDED, "an older version of it")
        older.setdefault(current, []).append(notice)
    publisher = Publisher(job, lacking, older)
    decode = msgspec.json.Decoder(float_hook=Decimal).decode

    def tell(notice: Notice, patient: str) -> None:
        done.issues.append(
            Issue(notice.ref, patient or None, notice.reason, notice.detail, notice.used)
        )

    for record in sorted(records.records.values(), key=lambda record: record.patient):
        publisher.publish(
            record,
            lambda content: done.observations.extend(map(decode, content.splitlines())),
            lambda content: done.provenances.append(decode(content)),
            tell,
        )
    for notice, patient in sorted(records.listed):
        tell(notice, patient)
    for unreadable in sorted(shelf.unreadable):
        done.issues.append(
            Issue(reading.place(unreadable), None, Reason.UNREADABLE, unreadable.detail)
        )
    for (reason, kind, code), count in all_counted(records, publisher.slice).items():
        done.counted[str(reason), kind, code] = count
    return done


def cohort_of(read: FolderRead, job: Job) -> list[PatientEndpoints]:
    """The computed patients of a folder, by patient; those without an index procedure left out."""
    records = sorted(read.records.records.values(), key=lambda record: record.patient)
    computed = (job.endpoints(record, read.lacking) for record in records)
    return [patient for patient in computed if patient is not None]
