"""What the HTTP status of a refusal says: which statuses mean that a request is not supported.

Source: https://hl7.org/fhir/R4/http.html#Status-Codes, and what servers were seen to answer.
"""

from fhircryo.fhir.client import HttpError

_DELETED = 410
_FORBIDDEN = 403
_NOT_FOUND = 404
_PARAMETER = frozenset({400, 414, 422, 501})
_INTERACTION = _PARAMETER | {_NOT_FOUND, 405}
_LIST = _PARAMETER | {_FORBIDDEN, _NOT_FOUND}


def type_unavailable(error: HttpError) -> bool:
    """Whether the server does not have a resource type, or does not let us read it."""
    return error.status in (_FORBIDDEN, _NOT_FOUND)


def forbidden(error: HttpError) -> bool:
    """Whether the request is forbidden to us."""
    return error.status == _FORBIDDEN


def parameter_unsupported(error: HttpError) -> bool:
    """Whether the server rejects a search parameter, or the value that it was given."""
    return error.status in _PARAMETER


def interaction_unsupported(error: HttpError) -> bool:
    """Whether the server does not support an interaction, such as a type's history."""
    return error.status in _INTERACTION


def request_unsupported(error: HttpError) -> bool:
    """Whether the server does not answer a request as it was made, such as a list of ids.

    Some servers answer 403, 404 or 414 to a list of values and accept each value alone.
    """
    return error.status in _LIST


def deleted(error: HttpError) -> bool:
    """Whether the resource existed and was deleted."""
    return error.status == _DELETED
