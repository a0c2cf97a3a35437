"""Erasure of a patient: deletes the published endpoints and the patient's rows in the state."""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from fhircryo.errors import SourceError, TargetError, UsageError
from fhircryo.fhir import refusals
from fhircryo.fhir.auth.scopes import Needs
from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.client import HttpError
from fhircryo.fhir.connect import ERASING, MATCHING, READING, open_client
from fhircryo.fhir.search import Searcher, head_of
from fhircryo.publish.known_ids import open_known_ids
from fhircryo.publish.matching import match_patients
from fhircryo.publish.published_endpoint import PublishedEndpoint
from fhircryo.publish.reading_back import PublishedReader
from fhircryo.publish.target_connection import TargetConnection
from fhircryo.publish.target_lock import target_lock
from fhircryo.publish.target_server import state_folder, target_settings
from fhircryo.record.patients import Selection
from fhircryo.runs.read_source import read_opened
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.patient_states import subject_identifiers
from fhircryo.runs.sync.state_database import State
from fhircryo.runs.sync.state_file import state_path, take_over_former, with_state
from fhircryo.runs.sync.sync_options import source_and_target
from fhircryo.sources.open_server import server_source


@dataclass
class ErasureResult:
    """The references of deleted resources, and what is ``left``, with the server's error."""

    deleted: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


@dataclass
class _Erased:
    """Whose endpoints are erased.

    ``ids``: all ids of the patient in the source. ``subjects``: the ids under which endpoints on
    the target name the patient. ``identifiers``: of the endpoints that the state knows; they count
    whatever patient the target names by now. ``known``: whether the state knows the patient.
    """

    ids: set[str]
    subjects: set[str]
    identifiers: set[str]
    known: bool

    def covers(self, endpoint: PublishedEndpoint) -> bool:
        """Whether an endpoint is of this run's source and protocol and about the patient."""
        ours = endpoint.ours and endpoint.patient in self.subjects
        return ours or endpoint.identifier in self.identifiers

    def may_cover(self, endpoint: PublishedEndpoint) -> bool:
        """Whether an endpoint is about the patient, but nothing shows of which source it is."""
        return endpoint.of_unknown_source and endpoint.patient in self.subjects


def forget_patient(config: RunConfig, patient: str) -> ErasureResult:
    """Delete a patient's endpoints and their Provenances from the target, and clear the state.

    ``patient``: any id of the patient.

    Raises:
        UsageError: neither the state nor the target knows the patient, so that nothing was erased.
        TargetError: the target cannot be reached.
        LockedError: another run writes to the target.
    """
    source, target = source_and_target(config)
    result = ErasureResult()
    with ExitStack() as stack:
        folder = state_folder(config.settings)
        stack.enter_context(target_lock(target, folder))
        connection = target_settings(source, target, config.settings)
        client = stack.enter_context(open_client(target, connection, _needs(config)))
        searcher = Searcher(client)
        stack.callback(searcher.close)
        known = stack.enter_context(open_known_ids(target, folder, dry_run=False))
        patience = config.settings.write.index_patience

        def erase(state: State) -> None:
            erased = _erased_of(state, patient)
            try:
                if config.settings.write.subject == "match":
                    erased.subjects = _matched(config, searcher, erased.ids, result)
                can = capabilities(client)
                opened = TargetConnection(client, searcher, can, config.origin, known, patience)
                published = _published_of(opened, erased, result)
                if not (erased.known or published):
                    raise _unknown(patient, target, result)
                _delete(opened, list(published), result)
            except SourceError as error:
                raise TargetError(f"TARGET: {error}") from error
            known.forget(published[ref] for ref in published.keys() - result.left.keys())
            with state.transaction():
                for alias in erased.ids:
                    state.remove_patient(alias)

        take_over_former(config, source, target)
        with_state(state_path(config, source, target), erase)
    return result


def _needs(config: RunConfig) -> Needs:
    return {**ERASING, **MATCHING} if config.settings.write.subject == "match" else ERASING


def _erased_of(state: State, patient: str) -> _Erased:
    """What the state knows of a patient."""
    current = state.current_id(patient) or patient
    ids = {patient, current} | state.ids_of([current])
    identifiers = set(state.published_identifiers(ids))
    known = state.current_id(patient) is not None or bool(identifiers)
    return _Erased(ids, set(ids), identifiers, known)


def _matched(
    config: RunConfig, searcher: Searcher, ids: set[str], result: ErasureResult
) -> set[str]:
    """The ids by which the target knows a patient who is matched by an identifier.

    The state knows the endpoints that are valid, but not those that were retracted before: where
    the patient cannot be matched, they are noted as left.
    """
    source, _ = source_and_target(config)
    reading = replace(config, selection=Selection(frozenset(ids)))
    try:
        with open_client(source, config.settings.source, READING) as client:
            read = read_opened(server_source(client, config.settings.source), reading)
    except SourceError as error:
        why = str(error)
    else:
        system = config.settings.write.subject_system or ""
        matched = match_patients(searcher, system, subject_identifiers(read))
        if matched.ids:
            return set(matched.ids.values())
        why = (
            "; ".join(sorted(set(matched.problems.values()))) or "SOURCE does not have the patient"
        )
    result.left["endpoints that were retracted before"] = f"the patient cannot be matched: {why}"
    return set()


def _unknown(patient: str, target: str, result: ErasureResult) -> UsageError:
    why = "".join(f"; {problem}" for problem in dict.fromkeys(result.left.values()))
    return UsageError(
        f"Patient/{patient}: nothing was erased: the state does not know this id, and no endpoint"
        f" of this source_name and protocol on {target} names it{why}; check the id and the"
        " settings; a patient who was erased before is not known any more either"
    )


def _published_of(
    connection: TargetConnection, erased: _Erased, result: ErasureResult
) -> dict[str, str]:
    """The references of a patient's endpoints on the target, with their identifiers.

    Those that the search does not find yet are among them. Those that may be of another source are
    noted as left.
    """
    published = {}
    for identifier, found in sorted(PublishedReader(connection).all().items()):
        for endpoint in found:
            ref = f"Observation/{endpoint.id}"
            if erased.covers(endpoint):
                published[ref] = identifier
            elif erased.may_cover(endpoint):
                result.left[ref] = "nothing shows of which source_name it is, and there may be two"
    return published


def _delete(connection: TargetConnection, observations: list[str], result: ErasureResult) -> None:
    """Delete Observations and the Provenances that refer to them.

    Provenances are deleted first, because many servers do not delete a resource that another one
    refers to.
    """
    client = connection.client
    for ref in [*_provenances_of(connection, observations, result), *observations]:
        try:
            client.request("DELETE", f"{client.base}/{ref}")
        except HttpError as error:
            if not refusals.gone(error):
                result.left[ref] = str(error)
                continue
        result.deleted.append(ref)


def _provenances_of(
    connection: TargetConnection, observations: list[str], result: ErasureResult
) -> list[str]:
    """The references of the Provenances of Observations; those that cannot be searched are left."""
    types = connection.capabilities.types
    if types and "Provenance" not in types:
        return []
    found: dict[str, None] = {}
    for ref in observations:
        try:
            for page in connection.searcher.search("Provenance", {"target": ref}):
                for line in page:
                    head = head_of(line)
                    if head is not None and head.id:
                        found[f"Provenance/{head.id}"] = None
        except HttpError as error:
            result.left["Provenances, if there are any"] = f"they cannot be searched: {error}"
            break
    return list(found)
