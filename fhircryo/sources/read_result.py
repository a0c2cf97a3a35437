"""A source's records, ready to compute: of a folder, or of a FHIR server."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fhircryo.errors import UsageError
from fhircryo.fhir.client import Client
from fhircryo.fhir.connect import READING, READING_A_GROUP, open_client
from fhircryo.fhir.input_files import InputFile, input_files
from fhircryo.fhir.page_cache import KeptPages
from fhircryo.record.collector import Records, assemble
from fhircryo.record.items import Issue, Lacking, Reason
from fhircryo.record.patient_list import read_patient_list
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import ServerSettings
from fhircryo.sources.bulk_source import Bulk, needs_of, read_bulk
from fhircryo.sources.reading import Progress, Reading, read_folder
from fhircryo.sources.search_source import GROUP, ServerReader, read_group


@dataclass(frozen=True)
class ReadResult:
    """What was read. ``files``: those of a folder; ``passed_over``: what else is in it."""

    name: str
    files: list[InputFile]
    passed_over: list[str]
    reading: Reading
    records: Records
    lacking: Lacking

    @cached_property
    def older(self) -> dict[str, list[Issue]]:
        """Older versions of the records' resources, by patient; those of others only count."""
        found: dict[str, list[Issue]] = {}
        for older in sorted(self.records.older):
            current = self.reading.patients.current(older.patient) if older.patient else ""
            if current in self.records.records:
                notice = Issue(older.ref, Reason.SUPERSEDED, "an older version of it")
                found.setdefault(current, []).append(notice)
        return found


def is_url(place: str) -> bool:
    """Whether SOURCE or TARGET is a FHIR server; anything else is a folder."""
    return place.lower().startswith(("http://", "https://"))


def patients_of(source: str, patients: str, settings: ServerSettings) -> frozenset[str]:
    """The patients asked for: those of a file, or of a ``Group/ID`` on the server.

    Raises:
        UsageError: no such file or Group, or no ids in it.
    """
    if not patients.startswith(GROUP):
        return read_patient_list(Path(patients))
    if not is_url(source):
        raise UsageError(f"--patients {patients}: a Group needs a FHIR server as SOURCE")
    with open_client(source, settings, READING_A_GROUP) as client:
        return read_group(client, patients)


def read_source(
    source: str | Path,
    job: RunConfig,
    workers: int = 1,
    progress: Progress | None = None,
    trace_patient: str = "",
    work: Path | None = None,
    bulk: Bulk | None = None,
) -> ReadResult:
    """Read a source into records; of one patient also what only counts may be kept.

    ``work``: a folder in which a server's pages, or an export's files, are kept while they are
    read. ``bulk``: read a server by bulk export, which needs one.

    Raises:
        SourceError: it is not there, refuses to be read, or holds nothing to read.
    """
    if is_url(str(source)):
        needs = READING if bulk is None else needs_of(bulk.level)
        with open_client(str(source), job.settings.source, needs) as client:
            return read_server(client, job, progress, trace_patient, work, bulk, workers)
    with no_garbage_collection():
        files, passed_over = input_files(Path(source))
        context = job.context(trace_patient)
        reading = read_folder(files, context, job.selection, workers, progress)
        return _assembled(str(source), reading, job, files, passed_over)


def read_server(
    client: Client,
    job: RunConfig,
    progress: Progress | None = None,
    trace_patient: str = "",
    work: Path | None = None,
    bulk: Bulk | None = None,
    workers: int = 1,
) -> ReadResult:
    """Read a server that is open already; the arguments are those of ``read_source``.

    Raises:
        SourceError: it refuses, or does not give all it has.
    """
    with no_garbage_collection():
        if bulk is not None and work is not None:
            reading = read_bulk(client, job, bulk, work, workers=workers, progress=progress)
            return _assembled(client.base, reading, job, [], [])
        context = job.context(trace_patient, server=client.base)
        kept = None if work is None else KeptPages(work)
        reading = ServerReader(client, context, job.selection, progress, kept).read()
        return _assembled(client.base, reading, job, [], [])


def _assembled(
    name: str, reading: Reading, job: RunConfig, files: list[InputFile], passed_over: list[str]
) -> ReadResult:
    records = assemble(reading.shelf, reading.patients)
    lacking = job.lacking(reading.present, graded=reading.graded)
    return ReadResult(name, files, passed_over, reading, records, lacking)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Millions of records that all live to the end only cost the collector's time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
