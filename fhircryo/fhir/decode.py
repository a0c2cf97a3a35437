"""Decodes a line of JSON to a resource, or to the container of several."""

from collections.abc import Callable
from decimal import InvalidOperation
from typing import Any, TypeVar

import msgspec

from fhircryo.errors import UnreadableResource
from fhircryo.fhir.file_lines import UnreadLine
from fhircryo.fhir.resource_names import KNOWN_TYPES
from fhircryo.fhir.wire import (
    ARRAY,
    BUNDLE,
    DECODERS,
    DIAGNOSTIC_REPORT,
    HEAD,
    PARAMETERS,
    REPORT_OUTLINE,
    WITHDRAWN,
    DiagnosticReport,
)

_BEGINNING = b'{"resourceType":"'
_START = len(_BEGINNING)
_NOTHING = (b"", b"null")
_WRONG_TYPE = "an element does not have the type that FHIR defines"
NESTED_TOO_DEEPLY = "nested too deeply"
BUNDLE_TYPE = "Bundle"
PARAMETERS_TYPE = "Parameters"
REPORT_TYPE = "DiagnosticReport"
#: A JSON array of resources, where a resource is expected.
ARRAY_TYPE = "array"

T = TypeVar("T")


def _report(line: bytes) -> DiagnosticReport | None:
    """Return a DiagnosticReport that contains anything, or did; None for others, not being read."""
    outline = REPORT_OUTLINE.decode(line)
    if not is_there(outline.contained) and outline.status not in WITHDRAWN:
        return None
    return DIAGNOSTIC_REPORT.decode(line)


#: The containers of other resources.
CONTAINERS = frozenset({BUNDLE_TYPE, PARAMETERS_TYPE, REPORT_TYPE, ARRAY_TYPE})
_DECODE: dict[str, Callable[[bytes], Any]] = {
    **{kind: decoder.decode for kind, decoder in DECODERS.items()},
    BUNDLE_TYPE: BUNDLE.decode,
    PARAMETERS_TYPE: PARAMETERS.decode,
    REPORT_TYPE: _report,
}
_READ = {kind.encode(): (kind, decode) for kind, decode in _DECODE.items()}


def decode(line: bytes) -> tuple[str, Any]:
    """Return the type of a resource, and its struct (None if the type is not read).

    An array of resources has the type ``ARRAY_TYPE``, and its elements undecoded.

    Raises:
        UnreadableResource: the line is not JSON or not a resource, its type is unknown, or an
            element has a wrong type.
    """
    try:
        if line.startswith(_BEGINNING):
            read = _READ.get(line[_START : line.find(b'"', _START)])
            if read is not None:
                return read[0], read[1](line)
        if line[:1] == b"[" or line.lstrip()[:1] == b"[":
            return ARRAY_TYPE, ARRAY.decode(line)
        kind = HEAD.decode(line).resource_type
        if kind is None:
            raise UnreadableResource("not a FHIR resource: no resourceType")
        if kind in _DECODE:
            return kind, _DECODE[kind](line)
        if kind not in KNOWN_TYPES:
            raise UnreadableResource("resourceType is not a resource type of FHIR R4, R4B or R5")
        return kind, None
    except msgspec.ValidationError as error:
        raise UnreadableResource(f"{_WRONG_TYPE}: {error}") from None
    except msgspec.DecodeError as error:
        raise UnreadableResource(_words_of_no_json(line, error)) from None
    except RecursionError:
        raise UnreadableResource(NESTED_TOO_DEEPLY) from None
    except InvalidOperation:
        raise UnreadableResource("a number is too large to be represented") from None
    except UnicodeDecodeError:
        raise UnreadableResource("not UTF-8") from None


def _words_of_no_json(line: bytes, error: msgspec.DecodeError) -> str:
    return line.problem if isinstance(line, UnreadLine) else f"not JSON: {error}"


def is_there(element: msgspec.Raw) -> bool:
    """Return whether an element that the struct of its resource leaves undecoded is present."""
    return bytes(element) not in _NOTHING


def decode_element(decoder: "msgspec.json.Decoder[list[T] | T]", element: msgspec.Raw) -> list[T]:
    """Decode an element that the struct of its resource leaves undecoded.

    Returns a list, even if the element is a single object; the list is empty if it is absent.

    Raises:
        UnreadableResource: the element has a wrong type.
    """
    content = bytes(element)
    if content in _NOTHING:
        return []
    try:
        found = decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidOperation, RecursionError) as error:
        raise UnreadableResource(f"{_WRONG_TYPE}: {error}") from None
    return found if isinstance(found, list) else [found]


def kind_of(line: bytes) -> str:
    """Return the type that a line states, readable or not; empty if that cannot be read either."""
    try:
        return HEAD.decode(line).resource_type or ""
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
