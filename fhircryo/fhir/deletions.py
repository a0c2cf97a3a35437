"""Reads from the entries of Bundles which resources were deleted.

A history Bundle tells that a resource was deleted; a bulk export tells it by transaction Bundles
that hold nothing but deletions.
Sources: https://hl7.org/fhir/R4/http.html#history,
https://hl7.org/fhir/uv/bulkdata/export.html#response---output-manifest (``deleted``)
"""

import re
from typing import Any, cast

import msgspec

from fhircryo.errors import UnreadableResource
from fhircryo.fhir.resource_names import KNOWN_TYPES
from fhircryo.fhir.wire import (
    BUNDLE_META,
    BUNDLE_REQUEST,
    BUNDLE_RESPONSE,
    Bundle,
    BundleEntry,
    BundleRequest,
    BundleResponse,
    Meta,
)

_DELETE = b"DELETE"
#: An entity tag of a FHIR server: https://hl7.org/fhir/R4/http.html#versioning
_ETAG = re.compile(r'(?:W/)?"([^"]+)"')


class Deletion(msgspec.Struct):
    """That a resource was deleted.

    ``ref``: its reference (``Type/id``), empty where search criteria or nothing at all say which
    resource is meant. ``version``: the number of the deletion among its versions; ``updated``: when
    it was deleted (both None: not stated). ``last``: of a list of deletions, which tells what is no
    longer there, wherever it is read. ``sequence``: when it was read, among all resources.
    """

    ref: str
    version: str | None = None
    updated: str | None = None
    last: bool = False
    sequence: int = 0


def deletes(entry: BundleEntry) -> bool:
    """Return whether an entry of a Bundle deletes a resource.

    Raises:
        UnreadableResource: what the entry asks for has a wrong type.
    """
    request = bytes(entry.request)
    return _DELETE in request.upper() and _request(entry).method == "DELETE"


def deletion(entry: BundleEntry, listed: bool, when: str | None) -> Deletion:
    """Return what an entry of a Bundle deletes.

    ``listed``: the Bundle holds nothing but deletions; ``when``: the Bundle's own time.

    Raises:
        UnreadableResource: the entry has an element of a wrong type.
    """
    path, _, query = (_request(entry).url or entry.full_url or "").partition("?")
    path, _, version = path.partition("/_history/")
    name = path.rstrip("/").split("/")[-2:]
    if query or len(name) < 2 or name[0] not in KNOWN_TYPES or not name[1]:
        return Deletion("")
    answer = _decoded(BUNDLE_RESPONSE, entry.response) or BundleResponse()
    tag = _ETAG.fullmatch(answer.etag or "")
    found = Deletion("/".join(name), tag[1] if tag else version or None, answer.last_modified)
    if found.version is None and found.updated is None and listed:
        found.last = True
        found.updated = when
    return found


def is_list_of_deletions(bundle: Bundle) -> bool:
    """Return whether a Bundle holds nothing but deletions."""
    return not any(bytes(entry.resource) for entry in bundle.entry or ())


def time_of(bundle: Bundle) -> str | None:
    """Return when a Bundle was last changed; None if it does not say so in a readable way."""
    try:
        meta = _decoded(BUNDLE_META, bundle.meta) or Meta()
    except UnreadableResource:
        return None
    return cast("Meta", meta).last_updated


def in_order(bundle: Bundle) -> list[tuple[int, BundleEntry]]:
    """Return the entries of a Bundle with their index, each version after the one before it.

    A history lists the newest version first: https://hl7.org/fhir/R4/http.html#history
    """
    entries = list(enumerate(bundle.entry or ()))
    return entries[::-1] if bundle.type == "history" else entries


def _request(entry: BundleEntry) -> BundleRequest:
    found: BundleRequest = _decoded(BUNDLE_REQUEST, entry.request) or BundleRequest()
    return found


def _decoded(decoder: "msgspec.json.Decoder[Any]", element: msgspec.Raw) -> Any:
    """Return an element of a Bundle that was left undecoded; None if it is absent."""
    content = bytes(element)
    if content in (b"", b"null"):
        return None
    try:
        return decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableResource(f"an entry of the Bundle has a wrong type: {error}") from None
