"""What stands on a target: the endpoints that earlier runs published there."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from fhircryo.fhir.search import Params, Searcher
from fhircryo.publish.as_on_server import Json, digest, name_of, owner, value_of
from fhircryo.publish.origin import Origin
from fhircryo.publish.shapes import DECODER

RETRACTED = "entered-in-error"

#: Identifiers, or ids, in one search.
_TOGETHER = 50


class PublishedEndpoint(msgspec.Struct, frozen=True):
    """A published endpoint as it stands: where, in which version, and what it says, hashed.

    ``patient``: whom it is about, by the id that its subject names; ``ours``: of the run's own
    source and protocol; ``name``, ``value``: for people.
    """

    identifier: str
    id: str
    version: str
    status: str
    digest: bytes
    patient: str
    ours: bool
    name: str
    value: str


#: By identifier; more than one of it are doubles.
PublishedByIdentifier = dict[str, list[PublishedEndpoint]]


def all_published(searcher: Searcher, origin: Origin, base: str) -> PublishedByIdentifier:
    """Every endpoint that was ever published on the server of this ``base``."""
    return _found(searcher, [{"identifier": f"{origin.identifier_system}|"}], origin, base)


def published_with(
    searcher: Searcher, identifiers: Iterable[str], origin: Origin, base: str
) -> PublishedByIdentifier:
    """The endpoints with these identifiers, as they stand now."""
    tokens = [f"{origin.identifier_system}|{one}" for one in sorted(identifiers)]
    searches = [{"identifier": ",".join(batch)} for batch in _batches(tokens)]
    return _found(searcher, searches, origin, base)


def contents(searcher: Searcher, ids: Iterable[str]) -> dict[str, Json]:
    """Observations in full, by id."""
    found = {}
    for batch in _batches(sorted(ids)):
        for line in _lines(searcher, {"_id": ",".join(batch)}):
            resource = DECODER.decode(line)
            found[str(resource["id"])] = resource
    return found


def _found(
    searcher: Searcher, searches: Iterable[Params], origin: Origin, base: str
) -> PublishedByIdentifier:
    newest: dict[str, PublishedEndpoint] = {}
    for params in searches:
        for line in _lines(searcher, params):
            standing = _standing(DECODER.decode(line), origin, base)
            if standing is not None:
                # Read while others write, a resource may come in two versions: the later counts.
                newest[standing.id] = standing
    found: PublishedByIdentifier = {}
    for standing in newest.values():
        found.setdefault(standing.identifier, []).append(standing)
    return found


def _lines(searcher: Searcher, params: Params) -> Iterator[bytes]:
    for page in searcher.search("Observation", params):
        yield from page


def _standing(resource: Json, origin: Origin, base: str) -> PublishedEndpoint | None:
    values = [
        str(one.get("value", ""))
        for one in resource.get("identifier") or ()
        if one.get("system") == origin.identifier_system
    ]
    if not values:
        return None
    meta = resource.get("meta") or {}
    return PublishedEndpoint(
        identifier=values[0],
        id=str(resource.get("id", "")),
        version=str(meta.get("versionId", "")),
        status=str(resource.get("status", "")),
        digest=digest(resource, base),
        patient=owner(resource),
        ours=_is_of(resource, meta, origin),
        name=name_of(resource),
        value=value_of(resource),
    )


def _is_of(resource: Json, meta: Json, origin: Origin) -> bool:
    """Whether it is of this source and this protocol, of whatever version."""
    method = str((resource.get("method") or {}).get("text", ""))
    named = [one["code"] for one in meta.get("tag") or () if _is_source(one, origin)]
    wanted = [origin.source_name] if origin.source_name else []
    return method.partition(" ")[0] == origin.protocol and named == wanted


def _is_source(tag: Any, origin: Origin) -> bool:
    return tag.get("system") == origin.source_system and bool(tag.get("code"))


def _batches(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _TOGETHER):
        yield values[start : start + _TOGETHER]
