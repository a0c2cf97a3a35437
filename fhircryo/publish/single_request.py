"""Sends one request that writes a resource, and reads in the answer what was written."""

from typing import NamedTuple

import msgspec

from fhircryo.fhir.client import Client, UnreachableError
from fhircryo.fhir.urls import without_query
from fhircryo.publish.transaction import WriteRequest

CREATED = 201


class _Meta(msgspec.Struct, rename="camel"):
    version_id: str | None = None


class _WrittenResource(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    id: str | None = None
    meta: _Meta | None = None


class Written(NamedTuple):
    """The answer to a request that wrote a resource.

    ``existed``: a conditional create found that the server holds the resource, and wrote nothing.
    ``stored_as``: the id under which the server stored it instead of the one that was asked for.
    """

    id: str
    version: str
    existed: bool = False
    stored_as: str = ""


def send_single(client: Client, request: WriteRequest) -> Written:
    """Send one request, once.

    Raises:
        HttpError: the server refuses, or fails.
        UnreachableError: it is not known whether it was carried out.
    """
    url = f"{client.base}/{request.url}"
    response = client.request(
        request.method, url, body=request.resource, headers=request.headers, budget=0
    )
    try:
        found = msgspec.json.decode(response.content, type=_WrittenResource)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        found = _WrittenResource()
    if found.resource_type != request.kind:
        found = _WrittenResource()  # such as an OperationOutcome, which may have an id of its own
    # Servers may answer with the location only: [base]/Type/id/_history/1
    name, version = location_of(response.headers.get("Location"), request.kind)
    named = found.id or name
    name = request.known_id or named
    if not name:
        raise UnreachableError(
            f"{without_query(url)}: the answer does not name the resource that was written"
        )
    stated = found.meta.version_id if found.meta is not None else None
    version = version_of(response.headers.get("ETag")) or stated or version
    existed = request.if_none_exist is not None and response.status_code != CREATED
    return Written(name, version, existed, other_id(request.known_id, named))


def other_id(wanted: str, named: str) -> str:
    """The id that a server gave instead of the one that was asked for; empty if it did not."""
    # Ids are compared by case, but some servers do not keep it.
    return named if wanted and named and named.casefold() != wanted.casefold() else ""


def location_of(location: str | None, kind: str) -> tuple[str, str]:
    """The id and version in a location, such as ``[base]/Observation/12/_history/1``."""
    path, _, version = (location or "").rstrip("/").partition("/_history/")
    return path.rpartition(f"{kind}/")[2] if f"{kind}/" in path else "", version


def version_of(etag: str | None) -> str:
    """The version in an ETag, such as ``W/"1"``; empty if there is none."""
    return (etag or "").strip().removeprefix("W/").strip('"')
