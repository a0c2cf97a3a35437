"""Erasure of a patient: deletes the published endpoints and the patient's rows in the state."""

from contextlib import ExitStack
from dataclasses import dataclass, field

from fhircryo.errors import SourceError, TargetError
from fhircryo.fhir import refusals
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.connect import ERASING, open_client
from fhircryo.fhir.search import Searcher, head_of
from fhircryo.publish.origin import Origin
from fhircryo.publish.published_endpoint import all_published
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

        def erase(state: State) -> None:
            current = state.current_id(patient) or patient
            ids = {patient, current} | state.ids_of([current])
            try:
                observations = _published_of(searcher, config.origin, client.base, ids)
                _delete(client, searcher, observations, result)
            except SourceError as error:
                raise TargetError(f"TARGET: {error}") from error
            with state.transaction():
                for alias in ids:
                    state.remove_patient(alias)

        with_state(state_path(config, source, target), erase)
    return result


def _published_of(searcher: Searcher, origin: Origin, base: str, ids: set[str]) -> list[str]:
    """The references of the Observations on the target that are endpoints of a patient."""
    published = all_published(searcher, origin, base)
    names = sorted(
        endpoint.id
        for same_identifier in published.values()
        for endpoint in same_identifier
        if endpoint.ours and endpoint.patient in ids
    )
    return [f"Observation/{name}" for name in names]


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
