"""Tries a target by writing the Device of this program, if the user asks for that.

A run does the same before it writes the first patient. No patient's data are written.
"""

from collections.abc import Iterator
from contextlib import ExitStack

from fhircryo.errors import FhircryoError, SourceError, TargetError
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client
from fhircryo.fhir.search import Searcher
from fhircryo.publish.known_ids import open_known_ids
from fhircryo.publish.target_connection import TargetConnection
from fhircryo.publish.target_kind import Creation
from fhircryo.publish.target_lock import target_lock
from fhircryo.publish.target_server import state_folder
from fhircryo.publish.target_trial import TargetTrial
from fhircryo.runs.run_config import RunConfig
from fhircryo.setup.doctor.check import CheckResult, failed, not_tried, ok, warning

_PART = "target"
_SEEN = {
    Creation.OWN_ID: "the server took an id of ours",
    Creation.CONDITIONAL_UPDATE: "a second conditional update created no second Device",
    Creation.CONDITIONAL_CREATE: "a second conditional create created no second Device",
    Creation.SEARCH: "a search by identifier found what was written",
}
_PROFILES = (
    "endpoints are written without it; if the server refuses profiles that it does not know, load"
    " the package that `fhircryo terminology package` writes"
)


def trial_checks(client: Client, known: Capabilities, config: RunConfig) -> Iterator[CheckResult]:
    """Write the Device, and a Provenance of it if Provenances are wanted, and report each."""
    write, folder = config.settings.write, state_folder(config.settings)
    try:
        with ExitStack() as stack:
            stack.enter_context(target_lock(client.base, folder))
            searcher = Searcher(client)
            stack.callback(searcher.close)
            ids = stack.enter_context(open_known_ids(client.base, folder, dry_run=False))
            connection = TargetConnection(
                client, searcher, known, config.origin, ids, write.index_patience
            )
            trial = TargetTrial(connection, write)
            trial.establish_device()
            trial.run()
            trial.try_provenance()
    except FhircryoError as error:
        code = TargetError.exit_code if isinstance(error, SourceError) else error.exit_code
        yield failed(_PART, "trial", str(error), "a run would end with this error", code)
        return
    if trial.device is None:
        yield not_tried(_PART, "Device written", "none; the server does not take it")
        return
    yield ok(_PART, "Device written", f"{trial.device.reference}: {_SEEN[trial.kind.creation]}")
    if trial.kind.profiles:
        yield ok(_PART, "profiles", "meta.profile is kept")
    elif write.profile:
        yield warning(_PART, "profiles", "the server does not keep meta.profile", _PROFILES)
    if trial.kind.provenances:
        yield ok(_PART, "Provenance written", "of the Device")
