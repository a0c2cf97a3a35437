"""The way through the house, to a FHIR server: a source's endpoints, written where they differ."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fhircryo.publish.computed import Computed
from fhircryo.publish.target_server import Permissions, Pushed, Scope, open_target, state_folder
from fhircryo.record.items import Issue, PatientFacts
from fhircryo.runs.read_source import ReadOptions, ReadResult, no_garbage_collection, read_source
from fhircryo.runs.run_config import Publisher, RunConfig
from fhircryo.runs.summary import Summary, sum_up
from fhircryo.settings import Settings
from fhircryo.sources.bulk_source import Bulk
from fhircryo.sources.open_source import ServerReading
from fhircryo.sources.places import server_of
from fhircryo.sources.source import Progress


@dataclass(frozen=True)
class ServerRun:
    """What a run did; ``pushed`` is None where something unreadable stopped it before writing."""

    summary: Summary
    pushed: Pushed | None


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
    """Compute a source and write what differs to a FHIR server.

    ``bulk``: read a server by bulk export, into the folder of states.

    Raises:
        SourceError, UsageError, TargetError, LockedError: as the messages say.
    """
    tell = stage or _nobody
    server = server_of(source)
    # The target first: nobody wants to read for an hour and then learn that it is not there.
    with open_target(server, target, job.origin, job.settings, allowed) as writing:
        tell("reading")
        beside = bulk_place(job.settings, str(source), target) if bulk is not None else None
        options = ReadOptions(workers, progress, server=ServerReading(beside, bulk))
        read = read_source(source, job, options)
        tell("computing")
        patients, summary = computed(read, job)
        if summary.unreadable and not (accept_unreadable or allowed.dry_run):
            return ServerRun(summary, None)
        tell("writing")
        return ServerRun(summary, writing.push(patients, _scope(read, job), progress))


def bulk_place(settings: Settings, source: str, target: str) -> Path:
    """What a run to a server works beside, for want of a folder as target."""
    digest = hashlib.sha256(f"{source}\x1f{target}".encode()).hexdigest()[:16]
    return state_folder(settings) / f"bulk-{digest}"


def _nobody(words: str) -> None:
    """Nobody asks what is being done."""


def computed(read: ReadResult, job: RunConfig) -> tuple[list[Computed], Summary]:
    """The endpoints of all patients that were read, and what the run is to be told by."""
    publisher = Publisher(job, read.lacking, read.older)
    patients: list[Computed] = []
    observations: list[bytes] = []

    def tell(notice: Issue, patient: str) -> None:
        """What was not used is counted; a folder as target lists it."""

    with no_garbage_collection():
        for patient in sorted(read.records.records):

            def take(provenance: bytes, patient: str = patient) -> None:
                patients.append(Computed(patient, list(observations), provenance))
                observations.clear()

            publisher.publish(
                read.records.records[patient],
                lambda lines: observations.extend(lines.splitlines()),
                take,
                tell,
            )
    return patients, sum_up(read, job, publisher.slice)


def _scope(read: ReadResult, job: RunConfig) -> Scope:
    """Whom the run speaks of: those asked for, and those who objected, by all their ids."""
    asked = job.selection.include
    if asked is None:
        return Scope()
    named = asked | job.selection.exclude
    named |= frozenset(map(read.collected.patients.current, named))
    known_as = {
        item.patient: item.identifier
        for item in read.collected.items.values()
        if isinstance(item, PatientFacts) and item.patient in named
    }
    return Scope(named, known_as)
