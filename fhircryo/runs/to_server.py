"""A run from a source to a FHIR server."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fhircryo.fhir.client import without_query
from fhircryo.publish.comparison import RetractionScope
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.target_server import Permissions, PushResult, open_target, state_folder
from fhircryo.record.items import PatientFacts
from fhircryo.runs.publish_patients import PublishCounts, publish_patients
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.summary import Summary, sum_up
from fhircryo.settings import Settings
from fhircryo.sources.bulk_source import Bulk
from fhircryo.sources.read_result import ReadResult, is_url, no_garbage_collection, read_source
from fhircryo.sources.reading import Progress
from fhircryo.storage.work_folder import work_folder


@dataclass(frozen=True)
class ServerRun:
    """What a run did.

    ``pushed``: None if something was unreadable, so that nothing was written.
    """

    summary: Summary
    pushed: PushResult | None


def compute_server(
    source: str | Path,
    target: str,
    job: RunConfig,
    allowed: Permissions,
    *,
    accept_unreadable: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
    stage: Callable[[str], None] | None = None,
    bulk: Bulk | None = None,
) -> ServerRun:
    """Compute a source and write the endpoints that differ to a FHIR server.

    ``bulk``: read a server by bulk export, into the folder of states.

    Raises:
        SourceError, UsageError, TargetError, LockedError: as the messages say.
    """
    report_stage = stage or _ignore_stage
    server = str(source) if is_url(str(source)) else None
    # The target is opened first, so that its errors are found before an hour of reading.
    with open_target(server, target, job.origin, job.settings, allowed) as writing:
        report_stage("reading")
        with ExitStack() as stack:
            work = None
            if bulk is not None:
                place = bulk_place(job.settings, str(source), target)
                work = stack.enter_context(work_folder(place, without_query(str(source))))
            read = read_source(source, job, workers, progress, work=work, bulk=bulk)
        report_stage("computing")
        patients, summary = compute_outputs(read, job)
        if summary.unreadable and not (accept_unreadable or allowed.dry_run):
            return ServerRun(summary, None)
        report_stage("writing")
        return ServerRun(summary, writing.push(patients, _retraction_scope(read, job), progress))


def bulk_place(settings: Settings, source: str, target: str) -> Path:
    """The path beside which a run to a server puts the files of a bulk export."""
    digest = hashlib.sha256(f"{source}\x1f{target}".encode()).hexdigest()[:16]
    return state_folder(settings) / f"bulk-{digest}"


def _ignore_stage(words: str) -> None:
    """Ignore what is being done, where the caller does not ask."""


def compute_outputs(read: ReadResult, job: RunConfig) -> tuple[list[PatientOutput], Summary]:
    """The resources of all patients of the cohort, and the summary of the run."""
    counts = PublishCounts()
    outputs: list[PatientOutput] = []
    pieces = publish_patients(
        read.records.records.values(), read.lacking, read.older, job.publish_context
    )
    with no_garbage_collection():
        for piece in pieces:
            counts.add(piece.counts)
            if piece.output is not None:
                outputs.append(piece.output)
    return outputs, sum_up(read, job, counts)


def _retraction_scope(read: ReadResult, job: RunConfig) -> RetractionScope:
    """The patients that were asked for, and those who objected, by all their ids."""
    asked = job.selection.include
    if asked is None:
        return RetractionScope()
    named = asked | job.selection.exclude
    named |= frozenset(map(read.reading.patients.current, named))
    known_as = {
        item.patient: item.identifier
        for item in read.reading.shelf.kept.values()
        if isinstance(item, PatientFacts) and item.patient in named
    }
    return RetractionScope(named, known_as)
