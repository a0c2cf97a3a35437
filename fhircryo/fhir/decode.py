"""One line of JSON to the resource that it is, Bundles unpacked."""

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
BUNDLE_TYPE = "Bundle"

T = TypeVar("T")


class Entry(NamedTuple):
    """A resource of a Bundle: its JSON, and the id that its full URL gives where it has none."""

    number: int
    line: bytes
    id: str | None


class Found(NamedTuple):
    """A resource of a type that is read; of another type (``resource`` None); or an error."""

    kind: str
    resource: Any
    error: str
    place: str


def decode(line: bytes) -> tuple[str, Any]:
    """The type of a resource, and its struct where the type is read (else None).

    Raises:
        UnreadableResource: not JSON, not a resource, an unknown type, a field of a wrong type.
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
            raise UnreadableResource("resourceType is none of FHIR R4's")
        return kind, None
    except msgspec.ValidationError as error:
        raise UnreadableResource(f"not the FHIR that is read: {error}") from None
    except msgspec.DecodeError as error:
        raise UnreadableResource(f"not JSON: {error}") from None
    except RecursionError:
        raise UnreadableResource("nested too deeply") from None
    except InvalidOperation:
        raise UnreadableResource("a number beyond all measure") from None
    except UnicodeDecodeError:
        raise UnreadableResource("not UTF-8") from None


def decode_element(decoder: "msgspec.json.Decoder[list[T] | T]", element: msgspec.Raw) -> list[T]:
    """An element that its resource's struct leaves undecoded, as a list; empty where it is absent.

    Raises:
        UnreadableResource: it is of a wrong type.
    """
    content = bytes(element)
    if content in _NOTHING:
        return []
    try:
        found = decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidOperation, RecursionError) as error:
        raise UnreadableResource(f"not the FHIR that is read: {error}") from None
    return found if isinstance(found, list) else [found]


def kind_of(line: bytes) -> str:
    """The type that a line says that it is, though it cannot be read; empty if not even that."""
    try:
        return HEAD.decode(line).resource_type or ""
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def unpack(bundle: Bundle) -> tuple[list[Entry], dict[str, str]]:
    """The resources of a Bundle, and what its full URLs refer to (``Type/id``).

    Entries that cannot be read are among the resources: decoding them says what is wrong.
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
        entries.append(Entry(number, line, given))
    return entries, targets


def resources(line: bytes, bundle: dict[str, str], place: str = "") -> Iterator[Found]:
    """The resources of a line, those of a Bundle one by one.

    ``bundle`` is set, while a Bundle's resource is given, to what its full URLs refer to. A
    resource that cannot be read is given with its error. ``place`` says where in the line.
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
        # A Bundle within sets its own full URLs beside these, and takes them back.
        for found in resources(entry.line, bundle, f"{place}entry[{entry.number}]."):
            if found.resource is not None and not found.resource.id and entry.id:
                found.resource.id = entry.id
            yield found
    bundle.clear()
    bundle.update(outer)
