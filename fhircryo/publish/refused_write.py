"""What the status of a refused write says; ``fhir.refusals`` judges refused reads.

Source: https://hl7.org/fhir/R4/http.html
"""

from fhircryo.fhir.client import HttpError
from fhircryo.fhir.outcomes import issues_of

#: What servers answer when two writers meet.
CONFLICTS = frozenset({409, 412})
FORBIDDEN = 403
#: The type, or this way of writing it, is not taken.
_TYPE = frozenset({FORBIDDEN, 404, 405, 422, 501})
_WAY = frozenset({400, 404, 405, 422, 501})
#: The content is not valid: HAPI's validating interceptors answer 412 and 422.
INVALID = frozenset({400, 412, 422})
#: Section 2.21.0.17: servers that support no transactions.
_NOT_IMPLEMENTED = 501
_INTERACTION = frozenset({404, 405, _NOT_IMPLEMENTED})
_TOO_LARGE = 413
#: https://hl7.org/fhir/R4/valueset-issue-type.html
_TOO_LARGE_CODES = frozenset({"too-costly", "too-long"})
#: The server, or a gateway before it, gave up; the write may have been carried out.
_FAILED = frozenset({500, 502, 504})
_TIMEOUT = 408
#: Refusals that the content of a patient causes, so that those of others say nothing of the next.
_CONTENT = frozenset({400, 409, 413, 422})


def is_unanswered(error: HttpError) -> bool:
    """Whether the write may have been carried out although an error was answered."""
    failure = error.status >= 500 and error.status != _NOT_IMPLEMENTED
    return failure or error.status == _TIMEOUT


def interaction_refused(error: HttpError) -> bool:
    """Whether a server does not support transactions."""
    return error.status in _INTERACTION


def too_large(error: HttpError) -> bool:
    """Whether a Bundle holds more than the server takes."""
    codes = {issue.code for issue in issues_of(error.body) or ()}
    return error.status == _TOO_LARGE or (error.status < 500 and bool(codes & _TOO_LARGE_CODES))


def type_refused(error: HttpError) -> bool:
    """Whether a server may not take a resource type at all."""
    return error.status in _TYPE


def way_refused(error: HttpError) -> bool:
    """Whether a server may not take this way of creating, as under our own id."""
    return error.status in _WAY


def failed(error: HttpError) -> bool:
    """Whether the server failed, which the content, or its amount, often causes."""
    return error.status in _FAILED


def by_content(error: HttpError) -> bool:
    """Whether the content of the request may be the cause."""
    return error.status in _CONTENT or error.status in _FAILED
