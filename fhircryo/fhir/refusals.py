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
_POST_SEARCH = frozenset({_NOT_FOUND, 405, 415})
_GONE = frozenset({_NOT_FOUND, _DELETED})
_READ = _LIST | {405}
_EXPORT = frozenset({400, _NOT_FOUND, 422, 501})
_CONFIGURATION = frozenset({400, 401, _FORBIDDEN, _NOT_FOUND, 405, 406, _DELETED, 501})


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


def gone(error: HttpError) -> bool:
    """Whether something that the server gave an address for is not there any more."""
    return error.status in _GONE


def post_search_unsupported(error: HttpError) -> bool:
    """Whether the server does not support searches by POST."""
    return error.status in _POST_SEARCH


def read_unsupported(error: HttpError) -> bool:
    """Whether the server does not let us read a resource by its id, or does not have it."""
    return error.status in _READ


def export_unsupported(error: HttpError) -> bool:
    """Whether the server does not support a bulk export, or one of its parameters or types."""
    return error.status in _EXPORT


def configuration_absent(error: HttpError) -> bool:
    """Whether the server has no SMART configuration; some ask for a token to say so."""
    return error.status in _CONFIGURATION
