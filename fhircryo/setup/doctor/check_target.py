"""Checks whether a FHIR server can be written to; nothing is written unless that is asked for."""

from collections.abc import Iterator

from fhircryo.errors import LockedError, SourceError, TargetError, UsageError
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.refusals import gone
from fhircryo.fhir.search import Searcher
from fhircryo.publish.observation_maker import DEVICE_ID
from fhircryo.publish.published_endpoint import all_published
from fhircryo.publish.target_kind import Creation, creation
from fhircryo.publish.target_lock import target_lock
from fhircryo.publish.target_server import state_folder
from fhircryo.runs.run_config import RunConfig
from fhircryo.setup.doctor.check import CheckResult, failed, not_tried, ok, warning
from fhircryo.setup.doctor.check_server import server_checks
from fhircryo.setup.doctor.check_trial import trial_checks
from fhircryo.setup.doctor.check_writing import writing_checks

_PART = "target"
#: How endpoints are created on each kind of target, and what is promised for it.
_KINDS = {
    Creation.OWN_ID: "chosen by fhircryo (update as create), so that nothing can be doubled",
    Creation.CONDITIONAL_UPDATE: "chosen by the server, which takes conditional updates",
    Creation.CONDITIONAL_CREATE: "chosen by the server, which takes conditional creates",
    Creation.SEARCH: "chosen by the server, which takes no conditions; a search precedes each"
    " creation",
}
_ONE_WRITER = (
    "nothing is doubled as long as one machine writes (a lock on it prevents two runs at the same"
    " time) and its state folder is kept: it holds the ids that the server gave"
)


def target_checks(
    client: Client, config: RunConfig, *, write_device: bool = False
) -> Iterator[CheckResult]:
    """Check a server as TARGET. ``write_device``: the Device is written as well, and only it."""
    known = yield from server_checks(client, _PART, TargetError.exit_code)
    if known is None:
        return
    yield _ids(client, known)
    yield from writing_checks(client, known, provenance=config.settings.write.provenance)
    yield _identifiers(client, config)
    yield _lock(client, known, config)
    yield _published(client, config)
    if write_device:
        yield from trial_checks(client, known, config)


def _ids(client: Client, known: Capabilities) -> CheckResult:
    """Say of which kind the target is, by its CapabilityStatement, and what is promised for it."""
    name, how = "ids", creation(known)
    words = f"{_KINDS[how]}, by its CapabilityStatement"
    if how is not Creation.OWN_ID:
        return warning(_PART, name, words, _ONE_WRITER)
    try:
        client.request("GET", f"{client.base}/Device/{DEVICE_ID}", budget=0)
    except SourceError as error:
        # A bare 404 would read as if the base URL were wrong.
        absent = isinstance(error, HttpError) and gone(error)
        why = (
            f"the server holds no Device/{DEVICE_ID}, which a run writes first" if absent else error
        )
        return not_tried(_PART, name, f"{words}; {why}")
    return ok(_PART, name, f"{_KINDS[how]}: Device/{DEVICE_ID} is there")


def _identifiers(client: Client, config: RunConfig) -> CheckResult:
    """Check that a search by identifier finds the Device that a run has written."""
    name = "search by identifier"
    searcher = Searcher(client)
    try:
        token = f"{config.mappings.base}/device|{DEVICE_ID}"
        found = searcher.any("Device", {"identifier": token})
    except SourceError as error:
        return warning(_PART, name, str(error), "a run finds by it what it has written")
    finally:
        searcher.close()
    if found:
        return ok(_PART, name, "finds the Device of this program")
    words = "finds no Device of this program; before the first run there is none"
    return not_tried(
        _PART, name, words, "a run writes it first, and ends with 5 where the search never finds it"
    )


def _lock(client: Client, known: Capabilities, config: RunConfig) -> CheckResult:
    if creation(known) is Creation.OWN_ID:
        return ok(_PART, "lock", "not needed")
    try:
        with target_lock(client.base, state_folder(config.settings)):
            return ok(_PART, "lock", "free")
    except LockedError as error:
        return failed(
            _PART, "lock", str(error), "wait until that run has ended", LockedError.exit_code
        )
    except UsageError as error:
        return failed(_PART, "lock", str(error), "correct the state folder", UsageError.exit_code)


def _published(client: Client, config: RunConfig) -> CheckResult:
    searcher = Searcher(client)
    try:
        published = all_published(searcher, config.origin, client.base)
    except SourceError as error:
        return failed(
            _PART,
            "published endpoints",
            str(error),
            "the server must support the search Observation?identifier=",
            TargetError.exit_code,
        )
    finally:
        searcher.close()
    duplicates = sorted(name for name, found in published.items() if len(found) > 1)
    if duplicates:
        names = ", ".join(
            f"Observation/{one.id}" for name in duplicates[:3] for one in published[name]
        )
        return failed(
            _PART,
            "published endpoints",
            f"{len(duplicates)} identifiers are on more than one resource: {names}"
            f"{' ...' if len(duplicates) > 3 else ''}",
            "delete the duplicates",
            TargetError.exit_code,
        )
    ours = sum(one.ours for found in published.values() for one in found)
    return ok(_PART, "published endpoints", f"{ours} endpoints of this source and protocol")
