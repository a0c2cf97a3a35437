"""Finds out which endpoints on a target lack their Provenance.

A Provenance whose request was refused or not sent is known to be missing. One that was sent without
an answer is looked for on the target: FHIR R4 gives Provenance no identifier, so it is found by its
target and the time that it states (https://hl7.org/fhir/R4/provenance.html#search). Where nothing
is remembered of an endpoint, as when the state folder was lost, a Provenance counts that the server
stored at the same time as the endpoint or later: it is always written with or after it.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from fhircryo.calendar import moment
from fhircryo.fhir.client import HttpError
from fhircryo.fhir.urls import relative
from fhircryo.publish.known_ids import OwedProvenance
from fhircryo.publish.patience import wait_until_found
from fhircryo.publish.published_endpoint import PublishedByIdentifier
from fhircryo.publish.reading_back import PublishedReader
from fhircryo.publish.shapes import Json, json_object, object_in, objects_in
from fhircryo.publish.target_connection import TargetConnection
from fhircryo.publish.target_kind import Creation, TargetKind

LOG = logging.getLogger("fhircryo.target")

_PER_SEARCH = 25
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)


def missing_provenances(
    connection: TargetConnection,
    kind: TargetKind,
    published: PublishedByIdentifier,
    identifiers: Iterable[str] | None,
) -> dict[str, OwedProvenance]:
    """The endpoints that stand on a target and lack their Provenance.

    ``identifiers``: of the endpoints that are looked at; None: all.
    """
    if not kind.provenances:
        return {}
    known = connection.known
    _look_at_forgotten(connection, published, identifiers)
    owed = {name: one for name, one in known.owed(identifiers).items() if published.get(name)}
    unanswered = {name: one for name, one in owed.items() if one.recorded}
    if not unanswered:
        return owed
    if kind.creation is Creation.OWN_ID:
        there = set(_under_our_own_ids(connection, published, unanswered))
        known.provenance_written(there)
        return {name: one for name, one in owed.items() if name not in there}
    sent = max(one.sent or 0.0 for one in unanswered.values())
    refs = {f"Observation/{published[name][0].id}": name for name in unanswered}

    def search(missing: set[str]) -> Iterator[str]:
        for one in _stated(connection, [ref for ref in refs if refs[ref] in missing]):
            name = refs.get(one.target)
            if name is not None and one.recorded == moment(unanswered[name].recorded):
                yield name

    try:
        missing = wait_until_found(search, unanswered, sent, connection.patience)
    except HttpError:
        # Provenances cannot be searched: what was sent as a whole was written as a whole.
        missing = set() if kind.transactions else set(unanswered)
    there = unanswered.keys() - missing
    known.provenance_written(there)
    return {name: one for name, one in owed.items() if name not in there}


def _under_our_own_ids(
    connection: TargetConnection,
    published: PublishedByIdentifier,
    unanswered: dict[str, OwedProvenance],
) -> Iterator[str]:
    """The endpoints whose Provenance is there, though its request was not answered."""
    reader = PublishedReader(connection)
    endpoints: dict[str, list[str]] = {}
    for name, one in unanswered.items():
        if one.name:
            endpoints.setdefault(one.name, []).append(name)
    for ref, names in sorted(endpoints.items()):
        found = reader.read(f"Provenance/{ref}") or {}
        stated = {(one.target, one.recorded) for one in _stated_by(found, connection.base)}
        for name in names:
            target = f"Observation/{published[name][0].id}"
            if (target, moment(unanswered[name].recorded)) in stated:
                yield name


def _look_at_forgotten(
    connection: TargetConnection,
    published: PublishedByIdentifier,
    identifiers: Iterable[str] | None,
) -> None:
    """Look for the Provenances of endpoints of which nothing is remembered; once for each."""
    known = connection.known
    remembered = known.of(identifiers)
    forgotten = {
        name: found[0]
        for name, found in published.items()
        if name not in remembered and found and found[0].ours
    }
    if not forgotten:
        return
    refs = {f"Observation/{endpoint.id}": name for name, endpoint in forgotten.items()}

    def search(missing: set[str]) -> Iterator[str]:
        for one in _stated(connection, [ref for ref in refs if refs[ref] in missing]):
            name = refs.get(one.target)
            if name is not None and one.stored >= moment(forgotten[name].updated):
                yield name

    try:
        missing = wait_until_found(search, forgotten, time.time(), connection.patience)
    except HttpError:
        LOG.debug("Provenances cannot be searched")
        missing = set()
    known.owe(dict.fromkeys(missing, OwedProvenance("", "", None)))
    known.written({name: (one.id, one.version) for name, one in forgotten.items()})


class _Stated(NamedTuple):
    """A target of a Provenance, the time that this states, and when the server stored it.

    ``stored`` is the latest time where the server does not say it.
    """

    target: str
    recorded: datetime
    stored: datetime


def _stated(connection: TargetConnection, refs: list[str]) -> Iterator[_Stated]:
    """The targets of Provenances."""
    for start in range(0, len(refs), _PER_SEARCH):
        params = {"target": ",".join(refs[start : start + _PER_SEARCH])}
        for page in connection.searcher.search("Provenance", params):
            for line in page:
                yield from _stated_by(json_object(line), connection.base)


def _stated_by(found: Json, base: str) -> Iterator[_Stated]:
    """The targets of one Provenance."""
    recorded = _time(found, "recorded") or _EARLIEST
    stored = _time(object_in(found, "meta"), "lastUpdated") or _LATEST
    for target in objects_in(found, "target"):
        ref = relative(str(target.get("reference", "")), base)
        yield _Stated(ref.partition("/_history/")[0], recorded, stored)


def _time(resource: Json, element: str) -> datetime | None:
    """A time that a resource states; None where there is none that can be read."""
    text = resource.get(element)
    found = moment(text) if isinstance(text, str) else _EARLIEST
    return None if found == _EARLIEST else found
