"""A run from a source to a FHIR server."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fhircryo.fhir.urls import base_url
from fhircryo.publish.comparison import RetractionScope
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.target_lock import make_state_folder
from fhircryo.publish.target_server import Permissions, PushResult, open_target, state_folder
from fhircryo.record.items import PatientFacts
from fhircryo.runs.execution import Execution
from fhircryo.runs.publish_patients import PublishCounts, publish_patients, server_outputs
from fhircryo.runs.read_source import (
    ReadOptions,
    ReadResult,
    no_garbage_collection,
    read_source,
)
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.summary import Summary, sum_up
from fhircryo.settings import Settings
from fhircryo.sources.open_source import ServerReading
from fhircryo.sources.places import server_of


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
    config: RunConfig,
    allowed: Permissions,
    execution: Execution | None = None,
    *,
    accept_unreadable: bool = False,
) -> ServerRun:
    """Compute a source and write the endpoints that differ to a FHIR server.

    The files of a bulk export lie in the folder of states. ``accept_unreadable``: write although
    something of the source cannot be read.

    Raises:
        SourceError, UsageError, TargetError, LockedError: as the messages say.
    """
    how = execution or Execution()
    server = server_of(source)
    # The target is opened first, so that its errors are found before an hour of reading.
    with open_target(server, target, config.origin, config.settings, allowed) as writing:
        how.begin("reading")
        beside = None
        if how.bulk is not None:
            make_state_folder(state_folder(config.settings))
            beside = bulk_place(config.settings, str(source), target)
        server_reading = ServerReading(beside, how.bulk)
        read = read_source(
            source, config, ReadOptions(how.workers, how.progress, server=server_reading)
        )
        how.begin("computing")
        patients, summary = compute_outputs(read, config)
        if summary.unreadable and not (accept_unreadable or allowed.dry_run):
            return ServerRun(summary, None)
        how.begin("writing")
        return ServerRun(
            summary, writing.push(patients, _retraction_scope(read, config), how.progress)
        )


def bulk_place(settings: Settings, source: str, target: str) -> Path:
    """The path beside which a run to a server puts the files of a bulk export."""
    source = base_url(source) if server_of(source) else source
    digest = hashlib.sha256(f"{source}\x1f{base_url(target)}".encode()).hexdigest()[:16]
    return state_folder(settings) / f"bulk-{digest}"


def compute_outputs(read: ReadResult, config: RunConfig) -> tuple[list[PatientOutput], Summary]:
    """The resources of all patients of the cohort, and the summary of the run."""
    counts = PublishCounts()
    outputs: list[PatientOutput] = []
    context = config.publish_context
    pieces = publish_patients(
        read.records.records.values(), read.lacking, read.older, context, server_outputs(context)
    )
    with no_garbage_collection():
        for piece in pieces:
            counts.add(piece.counts)
            if piece.output is not None:
                outputs.append(piece.output)
    return outputs, sum_up(read, config, counts)


def _retraction_scope(read: ReadResult, config: RunConfig) -> RetractionScope:
    """The patients that were asked for, and those who objected, by all their ids."""
    asked = config.selection.include
    if asked is None:
        return RetractionScope()
    named = asked | config.selection.exclude
    named |= frozenset(map(read.collected.patients.current, named))
    known_as = {
        item.patient: item.identifier
        for item in read.collected.items.values()
        if isinstance(item, PatientFacts) and item.patient in named
    }
    return RetractionScope(named, known_as)
