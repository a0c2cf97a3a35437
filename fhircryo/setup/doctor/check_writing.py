"""Finds out, without writing anything, whether a server refuses what a run writes.

Requests are sent that no server can carry out: a transaction without entries, and ``{}`` in place
of a resource. A server that checks rights first answers 401 or 403, one that does not have the
interaction 404, 405 or 501 (https://hl7.org/fhir/R4/http.html#Status-Codes). Any other answer says
nothing about the right to write, and is shown.
"""

from collections.abc import Iterator

import msgspec

from fhircryo.errors import SourceError, TargetError
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client, HttpError
from fhircryo.setup.doctor.check import (
    FORBIDDEN,
    CheckResult,
    Status,
    failed,
    not_tried,
    ok,
    warning,
)

_PART = "target"
_EMPTY_TRANSACTION = b'{"resourceType":"Bundle","type":"transaction"}'
_NO_RESOURCE = b"{}"
_NOT_AN_INTERACTION = frozenset({404, 405, 501})
#: By these a server says that it could not make a resource of what was sent.
_NO_SUCH_CONTENT = frozenset({400, 412, 415, 422})
_SINGLY = (
    "nothing to do: each endpoint is written by a request of its own; if writing a patient is"
    " interrupted, the next run completes it"
)
_RIGHTS = "give these credentials the right to write Observation, Provenance and Device"
_WITHOUT = (
    "a run would end before the first patient is written: have the server's team allow it, or set"
    " write.provenance = false to write endpoints without"
)


class _Answer(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    type: str | None = None


def writing_checks(
    client: Client, known: Capabilities, *, provenance: bool
) -> Iterator[CheckResult]:
    """Check what a server says to transactions and to each type that a run writes.

    ``provenance``: whether Provenances are to be written (setting ``write.provenance``). Where they
    are not, a Device that the server refuses is left out as well.
    """
    yield _transactions(client, known)
    trial = _Trial(client, known)
    yield trial.of("Observation", _RIGHTS)
    if provenance:
        yield trial.of("Device", _WITHOUT)
        yield trial.of("Provenance", _WITHOUT)
    else:
        device = trial.of("Device", "")
        if device.status is Status.FAILED:
            device = warning(_PART, "Device", device.words, "nothing to do; none is written")
        yield device
        yield not_tried(_PART, "Provenance", "none is written (write.provenance = false)")


def _transactions(client: Client, known: Capabilities) -> CheckResult:
    name = "transactions"
    if not known.transaction:
        return warning(_PART, name, "its CapabilityStatement does not list them", _SINGLY)
    try:
        answer = client.request("POST", client.base, body=_EMPTY_TRANSACTION, budget=0)
        found = msgspec.json.decode(answer.content, type=_Answer)
    except HttpError as error:
        if error.status in FORBIDDEN:
            return failed(_PART, name, str(error), _RIGHTS, TargetError.exit_code)
        if error.status in _NOT_AN_INTERACTION:
            return warning(_PART, name, f"refused, although listed: {error}", _SINGLY)
        return not_tried(_PART, name, f"an empty one is not carried out: {error}")
    except SourceError as error:
        return warning(_PART, name, str(error), "try again")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return warning(_PART, name, "the answer to an empty one is not FHIR", _SINGLY)
    if (found.resource_type, found.type) == ("Bundle", "transaction-response"):
        words = "an empty one was carried out: a patient's endpoints are written together or not"
        return ok(_PART, name, f"{words} at all")
    words = f"an empty one was answered by {found.resource_type} of type {found.type}"
    advice = "it may be handled as a batch, so that a patient can be written in part until the next"
    return warning(_PART, name, words, f"{advice} run completes him")


class _Trial:
    """Tries what a server says to the creation of a resource of a type."""

    def __init__(self, client: Client, known: Capabilities) -> None:
        self._client = client
        self._known = known

    def of(self, kind: str, advice: str) -> CheckResult:
        """Check a type; ``advice``: what to do where the server refuses it."""
        creates = self._known.allows(kind, "create")
        if not creates and not self._known.allows(kind, "update"):
            words = "its CapabilityStatement lists neither create nor update"
            if kind == "Observation":
                return failed(_PART, kind, words, advice, TargetError.exit_code)
            return warning(_PART, kind, words, "nothing to do; none is written")
        if not creates:
            return not_tried(_PART, kind, "its CapabilityStatement lists update only")
        try:
            url = f"{self._client.base}/{kind}"
            answer = self._client.request("POST", url, body=_NO_RESOURCE, budget=0)
        except HttpError as error:
            return self._judged(kind, error, advice)
        except SourceError as error:
            return warning(_PART, kind, str(error), "try again")
        words = f"the server answered {answer.status_code} to what is no resource"
        return warning(_PART, kind, words, "look at what it has stored")

    def _judged(self, kind: str, error: HttpError, advice: str) -> CheckResult:
        # With our own ids a run updates, which may be allowed where creating is not.
        refusals = FORBIDDEN if self._known.update_create else FORBIDDEN | _NOT_AN_INTERACTION
        if error.status in refusals:
            return failed(_PART, kind, str(error), advice, TargetError.exit_code)
        if error.status in _NO_SUCH_CONTENT | _NOT_AN_INTERACTION:
            return not_tried(_PART, kind, f"nothing was written to find out: {error}")
        return warning(_PART, kind, str(error), "try again")
