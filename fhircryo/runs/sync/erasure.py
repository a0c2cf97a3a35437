"""Erasure of a patient: deletes the published endpoints and the patient's rows in the state."""

from contextlib import ExitStack
from dataclasses import dataclass, field

from fhircryo.errors import SourceError, TargetError
from fhircryo.fhir import refusals
from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.connect import ERASING, open_client
from fhircryo.fhir.search import Searcher, head_of
from fhircryo.publish.known_ids import open_known_ids
from fhircryo.publish.reading_back import PublishedReader
from fhircryo.publish.target_connection import TargetConnection
from fhircryo.publish.target_lock import target_lock
from fhircryo.publish.target_server import state_folder, target_settings
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.state_database import State
from fhircryo.runs.sync.state_file import state_path, with_state
from fhircryo.runs.sync.sync_options import source_and_target


@dataclass
class ErasureResult:
    """The references of deleted resources, and of those ``left``, with the server's error."""

    deleted: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def forget_patient(config: RunConfig, patient: str) -> ErasureResult:
    """Delete a patient's endpoints and their Provenances from the target, and clear the state.

    ``patient``: any id of the patient.

    Raises:
        TargetError: the target cannot be reached.
        LockedError: another run writes to the target.
    """
    source, target = source_and_target(config)
    result = ErasureResult()
    with ExitStack() as stack:
        stack.enter_context(target_lock(target, state_folder(config.settings)))
        connection = target_settings(source, target, config.settings)
        client = stack.enter_context(open_client(target, connection, ERASING))
        searcher = Searcher(client)
        stack.callback(searcher.close)
        folder = state_folder(config.settings)
        known = stack.enter_context(open_known_ids(client.base, folder, dry_run=False))
        patience = config.settings.write.index_patience

        def erase(state: State) -> None:
            current = state.current_id(patient) or patient
            ids = {patient, current} | state.ids_of([current])
            try:
                can = capabilities(client)
                opened = TargetConnection(client, searcher, can, config.origin, known, patience)
                published = _published_of(opened, ids)
                _delete(client, searcher, list(published), result)
            except SourceError as error:
                raise TargetError(f"TARGET: {error}") from error
            known.forget(published[ref] for ref in published.keys() - result.left.keys())
            with state.transaction():
                for alias in ids:
                    state.remove_patient(alias)

        with_state(state_path(config, source, target), erase)
    return result


def _published_of(connection: TargetConnection, ids: set[str]) -> dict[str, str]:
    """The references of a patient's endpoints on the target, with their identifiers.

    Those that the search does not find yet are among them.
    """
    return {
        f"Observation/{endpoint.id}": identifier
        for identifier, found in sorted(PublishedReader(connection).all().items())
        for endpoint in found
        if endpoint.ours and endpoint.patient in ids
    }


def _delete(
    client: Client, searcher: Searcher, observations: list[str], result: ErasureResult
) -> None:
    """Delete Observations and the Provenances that refer to them.

    Provenances are deleted first, because many servers do not delete a resource that another one
    refers to.
    """
    for ref in [*_provenances_of(searcher, observations), *observations]:
        try:
            client.request("DELETE", f"{client.base}/{ref}")
        except HttpError as error:
            if not refusals.gone(error):
                result.left[ref] = str(error)
                continue
        result.deleted.append(ref)


def _provenances_of(searcher: Searcher, observations: list[str]) -> list[str]:
    """The references of the Provenances of Observations; none if the target cannot search them."""
    found: dict[str, None] = {}
    for ref in observations:
        try:
            for page in searcher.search("Provenance", {"target": ref}):
                for line in page:
                    head = head_of(line)
                    if head is not None and head.id:
                        found[f"Provenance/{head.id}"] = None
        except HttpError:
            return []
    return list(found)
