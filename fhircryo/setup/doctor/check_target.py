"""Checks whether a FHIR server can be written to, without writing anything."""

from collections.abc import Iterator

from fhircryo.errors import LockedError, SourceError, TargetError, UsageError
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.search import Searcher
from fhircryo.publish.published_endpoint import all_published
from fhircryo.publish.target_kind import creation
from fhircryo.publish.target_lock import target_lock
from fhircryo.publish.target_server import state_folder
from fhircryo.runs.run_config import RunConfig
from fhircryo.setup.doctor.check import FORBIDDEN, CheckResult, failed, ok, warning
from fhircryo.setup.doctor.check_server import server_checks

_PART = "target"
#: A transaction without entries changes nothing; a client that may not write is refused it.
_EMPTY_TRANSACTION = b'{"resourceType":"Bundle","type":"transaction"}'


def target_checks(client: Client, config: RunConfig) -> Iterator[CheckResult]:
    """Check a server as TARGET."""
    known = yield from server_checks(client, _PART, TargetError.exit_code)
    if known is None:
        return
    if not known.takes_endpoints:
        yield failed(
            _PART,
            "endpoints",
            f"are not written to a server of FHIR {known.fhir_version}",
            "write to a server of R4 (4.0.1) or R4B (4.3.0), or to a folder",
            TargetError.exit_code,
        )
        return
    yield from _interactions(known)
    yield _permission(client, known)
    yield _lock(client, known, config)
    yield _published(client, config)


def _interactions(known: Capabilities) -> Iterator[CheckResult]:
    if not known.allows("Observation", "update") and not known.allows("Observation", "create"):
        yield failed(
            _PART,
            "Observation",
            "its CapabilityStatement allows neither create nor update",
            "write to another server, or have these interactions allowed",
            TargetError.exit_code,
        )
    how = creation(known)
    if how == "own-id":
        yield ok(_PART, "ids", "chosen by fhircryo, so that duplicates cannot arise")
    else:
        words = (
            "conditional updates are used"
            if how == "conditional-update"
            else "a search precedes each write"
        )
        yield warning(
            _PART,
            "ids",
            f"chosen by the server; {words}",
            "write from one machine only; a lock on it prevents two runs at the same time",
        )
    if known.transaction:
        yield ok(
            _PART, "transactions", "the endpoints of a patient are written together or not at all"
        )
    else:
        yield warning(
            _PART,
            "transactions",
            "not supported: each endpoint is written by a request of its own",
            "nothing to do; if writing a patient is interrupted, the next run completes it",
        )
    for kind in ("Provenance", "Device"):
        if known.allows(kind, "update") or known.allows(kind, "create"):
            yield ok(_PART, kind, "supported")
        else:
            yield warning(
                _PART, kind, "not supported by this server", "nothing to do; none is written"
            )


def _permission(client: Client, known: Capabilities) -> CheckResult:
    """Send a request that writes nothing, for which a client needs the right to write."""
    url, body = client.base, _EMPTY_TRANSACTION
    if not known.transaction:
        # Not a resource: a server that checks rights first answers 401 or 403, otherwise 400.
        url, body = f"{client.base}/Observation", b"{}"
    try:
        client.request("POST", url, body=body, budget=0)
    except HttpError as error:
        if error.status in FORBIDDEN:
            return failed(
                _PART,
                "permission to write",
                str(error),
                "give these credentials the right to write Observation, Provenance and Device",
                TargetError.exit_code,
            )
    except SourceError as error:
        return warning(_PART, "permission to write", str(error), "try again")
    return ok(_PART, "permission to write", "not refused (nothing was written for this check)")


def _lock(client: Client, known: Capabilities, config: RunConfig) -> CheckResult:
    if creation(known) == "own-id":
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
