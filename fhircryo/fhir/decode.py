"""Decodes a line of JSON to a resource, or to the resources of a Bundle."""

from collections.abc import Iterator
from decimal import InvalidOperation
from typing import Any, NamedTuple, TypeVar

import msgspec

from fhircryo.errors import UnreadableResource
from fhircryo.fhir.resource_names import KNOWN_TYPES
from fhircryo.fhir.wire import BUNDLE, DECODERS, HEAD, Bundle

_BEGINNING = b'{"resourceType":"'
_START = len(_BEGINNING)
_READ = {kind.encode(): (kind, decoder.decode) for kind, decoder in DECODERS.items()}
_UUID = "urn:uuid:"
_NOTHING = (b"", b"null")
_WRONG_TYPE = "an element does not have the type that FHIR defines"
BUNDLE_TYPE = "Bundle"

T = TypeVar("T")


class UnpackedEntry(NamedTuple):
    """A resource of a Bundle.

    ``number``: the index of its entry; ``line``: its JSON; ``id``: the UUID of its full URL, which
    is its id if it states none.
    """

    number: int
    line: bytes
    id: str | None


class Found(NamedTuple):
    """A decoded resource, or an error.

    ``resource``: None if the type is not read, or after an error; ``error``: what is wrong, empty
    if nothing is; ``place``: where in the line the resource is, such as ``entry[3].``.
    """

    kind: str
    resource: Any
    error: str
    place: str


def decode(line: bytes) -> tuple[str, Any]:
    """Return the type of a resource, and its struct (None if the type is not read).

    Raises:
        UnreadableResource: the line is not JSON or not a resource, its type is unknown, or an
            element has a wrong type.
    """
    try:
        if line.startswith(_BEGINNING):
            read = _READ.get(line[_START : line.find(b'"', _START)])
            if read is not None:
                return read[0], read[1](line)
        head = HEAD.decode(line)
        kind = head.resource_type
        if kind is None:
            raise UnreadableResource("not a FHIR resource: no resourceType")
        decoder = DECODERS.get(kind)
        if decoder is not None:
            return kind, decoder.decode(line)
        if kind == BUNDLE_TYPE:
            return kind, BUNDLE.decode(line)
        if kind not in KNOWN_TYPES:
            raise UnreadableResource("resourceType is not a resource type of FHIR R4, R4B or R5")
        return kind, None
    except msgspec.ValidationError as error:
        raise UnreadableResource(f"{_WRONG_TYPE}: {error}") from None
    except msgspec.DecodeError as error:
        raise UnreadableResource(f"not JSON: {error}") from None
    except RecursionError:
        raise UnreadableResource("nested too deeply") from None
    except InvalidOperation:
        raise UnreadableResource("a number is too large to be represented") from None
    except UnicodeDecodeError:
        raise UnreadableResource("not UTF-8") from None


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
    """Return the type that an unreadable line states; empty if that cannot be read either."""
    try:
        return HEAD.decode(line).resource_type or ""
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def unpack(bundle: Bundle) -> tuple[list[UnpackedEntry], dict[str, str]]:
    """Return the resources of a Bundle, and for each full URL the reference ``Type/id``.

    Unreadable entries are included: decoding them later reports what is wrong.
    """
    entries = []
    targets: dict[str, str] = {}
    for number, entry in enumerate(bundle.entry or ()):
        line = bytes(entry.resource)
        if line in _NOTHING:
            continue
        url = entry.full_url or ""
        given = url.removeprefix(_UUID) if url.startswith(_UUID) else None
        try:
            head = HEAD.decode(line)
        except msgspec.MsgspecError:
            head = None
        name = head.id or given if head is not None else None
        if url and head is not None and head.resource_type and name:
            targets[url] = f"{head.resource_type}/{name}"
        entries.append(UnpackedEntry(number, line, given))
    return entries, targets


def resources(line: bytes, bundle: dict[str, str], place: str = "") -> Iterator[Found]:
    """Yield the resource of a line, or each resource of a Bundle; unreadable ones with an error.

    ``bundle``: a dictionary of the caller's. While a Bundle's resources are yielded, it maps the
    Bundle's full URLs to references (``Type/id``). ``place``: the position in an outer Bundle.
    """
    try:
        kind, resource = decode(line)
    except UnreadableResource as error:
        yield Found(kind_of(line), None, str(error), place)
        return
    if kind != BUNDLE_TYPE:
        yield Found(kind, resource, "", place)
        return
    outer = dict(bundle)
    entries, targets = unpack(resource)
    bundle.update(targets)
    for entry in entries:
        # A nested Bundle adds its own full URLs to these, and removes them at its end.
        for found in resources(entry.line, bundle, f"{place}entry[{entry.number}]."):
            if found.resource is not None and not found.resource.id and entry.id:
                found.resource.id = entry.id
            yield found
    bundle.clear()
    bundle.update(outer)
