"""Whether a FHIR server can be written to; nothing is written to find out."""

from collections.abc import Iterator

from fhircryo.errors import LockedError, SourceError, TargetError, UsageError
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.search import Searcher
from fhircryo.publish.published_endpoint import all_published
from fhircryo.publish.target_lock import target_lock
from fhircryo.publish.target_server import state_folder
from fhircryo.publish.transaction import creation
from fhircryo.runs.run_config import RunConfig
from fhircryo.setup.doctor.check import Finding, failed, ok, warning
from fhircryo.setup.doctor.check_server import Reached

_PART = "target"
_NO_RIGHT = frozenset({401, 403})
#: A transaction without entries changes nothing, and is refused to whom transactions are.
_EMPTY_TRANSACTION = b'{"resourceType":"Bundle","type":"transaction"}'


def look_at_target(client: Client, job: RunConfig) -> Iterator[Finding]:
    """The checks of a server as TARGET."""
    reached = Reached(client, _PART, TargetError.exit_code)
    yield from reached.look()
    known = reached.known
    if known is None:
        return
    yield from _ways(known)
    yield _permission(client, known)
    yield _lock(client, known, job)
    yield _standing(client, job)


def _ways(known: Capabilities) -> Iterator[Finding]:
    if not known.allows("Observation", "update") and not known.allows("Observation", "create"):
        yield failed(
            _PART,
            "Observation",
            "can be neither created nor updated, says its CapabilityStatement",
            "write to another server, or have it allowed",
            TargetError.exit_code,
        )
    how = creation(known)
    if how == "own-id":
        yield ok(_PART, "ids", "chosen by us: nothing can be doubled")
    else:
        words = "conditional updates" if how == "conditional" else "neither, so we search first"
        yield warning(
            _PART,
            "ids",
            f"chosen by the server; {words}",
            "let one machine write, one run at a time: a lock sees to it on this one",
        )
    if known.transaction:
        yield ok(_PART, "transactions", "a patient's endpoints land together")
    else:
        yield warning(
            _PART,
            "transactions",
            "not supported: single requests",
            "nothing to do; a patient whose write breaks off is completed by the next run",
        )
    for kind in ("Provenance", "Device"):
        if known.allows(kind, "update") or known.allows(kind, "create"):
            yield ok(_PART, kind, "kept")
        else:
            yield warning(_PART, kind, "not kept by this server", "nothing to do; left out")


def _permission(client: Client, known: Capabilities) -> Finding:
    """A request that writes nothing, and that only who may write is let do."""
    url, body = client.base, _EMPTY_TRANSACTION
    if not known.transaction:
        # No resource at all: refused for want of a right first, else for what it is.
        url, body = f"{client.base}/Observation", b"{}"
    try:
        client.request("POST", url, body=body, budget=0)
    except HttpError as error:
        if error.status in _NO_RIGHT:
            return failed(
                _PART,
                "permission to write",
                str(error),
                "give these credentials the right to write Observation, Provenance and Device",
                TargetError.exit_code,
            )
    except SourceError as error:
        return warning(_PART, "permission to write", str(error), "try again")
    return ok(_PART, "permission to write", "not refused (nothing was written to find out)")


def _lock(client: Client, known: Capabilities, job: RunConfig) -> Finding:
    if creation(known) == "own-id":
        return ok(_PART, "lock", "none is needed")
    try:
        with target_lock(client.base, state_folder(job.settings)):
            return ok(_PART, "lock", "free")
    except LockedError as error:
        return failed(_PART, "lock", str(error), "wait for its end", LockedError.exit_code)
    except UsageError as error:
        return failed(_PART, "lock", str(error), "mend the state folder", UsageError.exit_code)


def _standing(client: Client, job: RunConfig) -> Finding:
    searcher = Searcher(client)
    try:
        stand = all_published(searcher, job.origin, client.base)
    except SourceError as error:
        return failed(
            _PART,
            "what stands there",
            str(error),
            "our own endpoints must be found: Observation?identifier=",
            TargetError.exit_code,
        )
    finally:
        searcher.close()
    doubles = sorted(name for name, standings in stand.items() if len(standings) > 1)
    if doubles:
        names = ", ".join(f"Observation/{one.id}" for name in doubles[:3] for one in stand[name])
        return failed(
            _PART,
            "what stands there",
            f"{len(doubles)} identifiers stand on more than one resource: {names}"
            f"{' ...' if len(doubles) > 3 else ''}",
            "delete the wrong ones",
            TargetError.exit_code,
        )
    ours = sum(one.ours for standings in stand.values() for one in standings)
    return ok(_PART, "what stands there", f"{ours} endpoints of this source and protocol")
