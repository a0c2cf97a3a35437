"""Reads the endpoints that earlier runs published on a target."""

import logging
from collections.abc import Iterable, Iterator
from sys import intern

import msgspec

from fhircryo.fhir.search import Params, Searcher
from fhircryo.publish.as_on_server import (
    answer_of,
    digest,
    name_of,
    procedure_of,
    subject_id,
    value_of,
)
from fhircryo.publish.observation_maker import CATEGORY_CODE, EndpointNames, endpoint_name
from fhircryo.publish.origin import Origin
from fhircryo.publish.published_shape import has_types_of_fhir, identifiers_of
from fhircryo.publish.shapes import Json, json_object

LOG = logging.getLogger("fhircryo.target")

RETRACTED = "entered-in-error"

#: How many identifiers or ids one search names.
_PER_SEARCH = 50


class PublishedEndpoint(msgspec.Struct, frozen=True):
    """An endpoint that a target holds: its id, version and status, and a hash of its content.

    ``patient``: the id of the patient that its subject names. ``ours``: whether it is of the run's
    own source and protocol. ``name``, ``value``: for people. ``answer``: the value alone, or why it
    is absent. ``renamed_from``: where it is of the run's protocol and of a source of another name,
    that name and the reference to the index procedure. ``profiles``: those that it states.
    ``updated``: when the server stored it; empty if it does not say. ``of_unknown_source``: it is
    of the run's protocol, and nothing shows of which source.
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
    answer: str = ""
    renamed_from: tuple[str, str] | None = None
    profiles: tuple[str, ...] = ()
    updated: str = ""
    of_unknown_source: bool = False


#: The endpoints of a target by identifier; where there is more than one, they are duplicates.
PublishedByIdentifier = dict[str, list[PublishedEndpoint]]


def all_published(searcher: Searcher, origin: Origin, base: str) -> PublishedByIdentifier:
    """All endpoints that the server with this base URL holds, retracted ones included."""
    return _found(searcher, [{"identifier": f"{origin.identifier_system}|"}], origin, base)


def all_of_category(searcher: Searcher, origin: Origin, base: str) -> PublishedByIdentifier:
    """All endpoints that the server finds by their category; none where it ignores categories.

    A parameter that a server does not know may be ignored, and then it finds all Observations
    (https://hl7.org/fhir/R4/search.html#errors).
    """
    newest: dict[str, PublishedEndpoint] = {}
    for page in searcher.search("Observation", {"category": category_of(origin)}):
        for line in page:
            endpoint = endpoint_of(json_object(line), origin, base)
            if endpoint is None:
                return {}
            newest[endpoint.id] = endpoint
    return _by_identifier(newest)


def category_of(origin: Origin) -> str:
    """The category of all endpoints, as a search names it."""
    return f"{origin.category_system}|{CATEGORY_CODE}"


def published_with(
    searcher: Searcher, identifiers: Iterable[str], origin: Origin, base: str
) -> PublishedByIdentifier:
    """The endpoints with these identifiers that the server with this base URL holds now."""
    tokens = [f"{origin.identifier_system}|{identifier}" for identifier in sorted(identifiers)]
    searches = [{"identifier": ",".join(batch)} for batch in _batches(tokens)]
    return _found(searcher, searches, origin, base)


def contents(searcher: Searcher, ids: Iterable[str]) -> dict[str, Json]:
    """Whole Observations, by id."""
    found = {}
    for batch in _batches(sorted(ids)):
        for line in _lines(searcher, {"_id": ",".join(batch)}):
            resource = json_object(line)
            found[str(resource.get("id", ""))] = resource
    return found


def _found(
    searcher: Searcher, searches: Iterable[Params], origin: Origin, base: str
) -> PublishedByIdentifier:
    newest: dict[str, PublishedEndpoint] = {}
    for params in searches:
        for line in _lines(searcher, params):
            endpoint = endpoint_of(json_object(line), origin, base)
            if endpoint is not None:
                # While others write, a search may return two versions: the later one counts.
                newest[endpoint.id] = endpoint
    return _by_identifier(newest)


def _by_identifier(newest: dict[str, PublishedEndpoint]) -> PublishedByIdentifier:
    found: PublishedByIdentifier = {}
    for endpoint in newest.values():
        found.setdefault(endpoint.identifier, []).append(endpoint)
    return found


def _lines(searcher: Searcher, params: Params) -> Iterator[bytes]:
    for page in searcher.search("Observation", params):
        yield from page


def endpoint_of(resource: Json, origin: Origin, base: str) -> PublishedEndpoint | None:
    """An Observation as a published endpoint; None if it is none of ours."""
    values = identifiers_of(resource, origin.identifier_system)
    if not has_types_of_fhir(resource):
        return _malformed(resource, values)
    if not values:
        return None
    meta = resource.get("meta") or {}
    of_protocol = _is_of_protocol(resource, origin)
    source = _source_of(meta, origin) if _keeps_tags(meta, origin) else None
    if source is None and _is_named_by(origin, resource, values[0]):
        source = origin.source_name
    return PublishedEndpoint(
        identifier=values[0],
        id=str(resource.get("id", "")),
        version=str(meta.get("versionId", "")),
        status=str(resource.get("status", "")),
        digest=digest(resource, base),
        patient=subject_id(resource),
        ours=of_protocol and source == origin.source_name,
        name=name_of(resource),
        value=value_of(resource),
        answer=answer_of(resource),
        renamed_from=(source, procedure_of(resource))
        if of_protocol and source is not None and source != origin.source_name
        else None,
        profiles=tuple(map(intern, meta.get("profile") or ())),
        updated=str(meta.get("lastUpdated") or ""),
        of_unknown_source=of_protocol and source is None,
    )


def _malformed(resource: Json, values: list[str]) -> PublishedEndpoint | None:
    """An endpoint of ours that somebody has overwritten with what is not FHIR.

    It differs from whatever is computed, so that it is written again; it is never retracted.
    """
    name = str(resource.get("id", ""))
    LOG.warning("Observation/%s of TARGET has elements of types that FHIR does not define", name)
    if not values:
        return None
    return PublishedEndpoint(
        identifier=values[0],
        id=name,
        version="",
        status=str(resource.get("status", "")),
        digest=b"",
        patient="",
        ours=False,
        name="",
        value="not FHIR",
    )


def _is_of_protocol(resource: Json, origin: Origin) -> bool:
    """Whether an Observation is of the run's protocol, in any version."""
    method = str((resource.get("method") or {}).get("text", ""))
    return method.partition(" ")[0] == origin.protocol


def _keeps_tags(meta: Json, origin: Origin) -> bool:
    """Whether an Observation has any of the tags with which each endpoint is written."""
    ours = {origin.use_system, origin.source_system}
    return any(tag.get("system") in ours for tag in meta.get("tag") or ())


def _is_named_by(origin: Origin, resource: Json, identifier: str) -> bool:
    """Whether an identifier is the one that the run's own source gives to what is published.

    It is a hash of the name of the source and of what else the Observation states.
    """
    names = EndpointNames(
        origin.source_name,
        f"Patient/{subject_id(resource)}",
        procedure_of(resource),
        origin.protocol,
    )
    key, _, time_point = name_of(resource).partition(" ")
    return names.of(endpoint_name(key, time_point)) == identifier


def _source_of(meta: Json, origin: Origin) -> str:
    """The name of the source that an Observation states; empty if it states none."""
    return ", ".join(
        str(tag["code"])
        for tag in meta.get("tag") or ()
        if tag.get("system") == origin.source_system and tag.get("code")
    )


def _batches(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _PER_SEARCH):
        yield values[start : start + _PER_SEARCH]
