"""A patient's erasure: what was published of him, and what is remembered."""

from contextlib import ExitStack
from dataclasses import dataclass, field

from fhircryo.errors import SourceError, TargetError
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.connect import ERASING, open_client
from fhircryo.fhir.search import Searcher, head_of
from fhircryo.publish.published_endpoint import all_published
from fhircryo.publish.target_lock import target_lock
from fhircryo.publish.target_server import state_folder, target_settings
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.run import places, state_path, with_state
from fhircryo.runs.sync.state_database import State


@dataclass
class Forgotten:
    """What was deleted, and what could not be, with why."""

    deleted: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def forget_patient(job: RunConfig, patient: str) -> Forgotten:
    """Delete a patient's endpoints and their Provenances from the target, and forget him.

    Raises:
        TargetError: the target cannot be reached.
        LockedError: a run is under way.
    """
    source, target = places(job)
    done = Forgotten()
    with ExitStack() as stack:
        stack.enter_context(target_lock(target, state_folder(job.settings)))
        connection = target_settings(source, target, job.settings)
        client = stack.enter_context(open_client(target, connection, ERASING))
        searcher = Searcher(client)
        stack.callback(searcher.close)

        def work(state: State) -> None:
            whose = state.current(patient) or patient
            ids = {patient, whose} | state.ids_of([whose])
            try:
                _delete(client, searcher, job, ids, done)
            except SourceError as error:
                raise TargetError(f"TARGET: {error}") from error
            with state.transaction():
                for one in ids:
                    state.forget(one)

        with_state(state_path(job, source, target), work)
    return done


def _delete(
    client: Client, searcher: Searcher, job: RunConfig, ids: set[str], done: Forgotten
) -> None:
    stand = all_published(searcher, job.origin, client.base)
    his = sorted(
        one.id
        for standings in stand.values()
        for one in standings
        if one.ours and one.patient in ids
    )
    names = [f"Observation/{one}" for one in his]
    # First what refers to them: many servers keep what others refer to.
    for name in [*_sources(searcher, names), *names]:
        try:
            client.request("DELETE", f"{client.base}/{name}")
        except HttpError as error:
            if error.status not in (404, 410):
                done.left[name] = str(error)
                continue
        done.deleted.append(name)


def _sources(searcher: Searcher, names: list[str]) -> list[str]:
    """The Provenances of Observations, where the target keeps any."""
    found: dict[str, None] = {}
    for name in names:
        try:
            for page in searcher.search("Provenance", {"target": name}):
                for line in page:
                    head = head_of(line)
                    if head is not None and head.id:
                        found[f"Provenance/{head.id}"] = None
        except HttpError:
            return []
    return list(found)
