"""Reads the endpoints that a target holds, also those that its search does not find, or not yet.

A search may be older than what was written. What is remembered tells: an endpoint that was sent
without an answer, that the search does not find, or that it finds in another version than was last
written, is read by its id. An endpoint whose id is not known is searched until it is found or until
the patience of the settings has passed since it was sent.
"""

import logging
from collections.abc import Iterable

import msgspec

from fhircryo.errors import SourceError
from fhircryo.fhir import refusals
from fhircryo.fhir.client import HttpError
from fhircryo.fhir.urls import without_query
from fhircryo.publish.known_ids import NOT_ENDPOINTS, KnownId
from fhircryo.publish.patience import wait_until_found
from fhircryo.publish.published_endpoint import (
    PublishedByIdentifier,
    PublishedEndpoint,
    all_of_category,
    all_published,
    contents,
    endpoint_of,
    published_with,
)
from fhircryo.publish.shapes import DECODER, Json, object_in
from fhircryo.publish.target_connection import TargetConnection

LOG = logging.getLogger("fhircryo.target")

#: A cache on the way may hold what stood before.
_FRESH = {"Cache-Control": "no-cache"}


class PublishedReader:
    """Reads what a target holds, and notes ids, versions and what is gone."""

    def __init__(self, connection: TargetConnection) -> None:
        self._connection = connection
        self._known = connection.known

    def all(self) -> PublishedByIdentifier:
        """All endpoints of the target, retracted ones included."""
        connection = self._connection
        found = all_published(connection.searcher, connection.origin, connection.base)
        remembered = {
            name: known for name, known in self._known.of().items() if name not in NOT_ENDPOINTS
        }
        nothing = not found
        found = self._completed(found or self._of_category(), remembered)
        if nothing and found:
            LOG.warning(
                "%s: the search Observation?identifier= finds none of %d endpoints that are there;"
                " they were found by their category, or read one by one; is this search parameter"
                " indexed?",
                connection.base,
                len(found),
            )
        return found

    def with_identifiers(self, identifiers: Iterable[str]) -> PublishedByIdentifier:
        """The endpoints with these identifiers that the target holds now."""
        wanted = set(identifiers)
        return self._completed(self._searched(wanted), self._known.of(wanted))

    def contents(self, versions: dict[str, str]) -> dict[str, Json]:
        """Whole Observations, by id; those that are gone are left out.

        ``versions``: by id, the version that is wanted at least; empty where it is not known.
        """
        found = contents(self._connection.searcher, versions)
        for name, version in versions.items():
            meta = object_in(found.get(name, {}), "meta")
            if name in found and str(meta.get("versionId", "")) == version:
                continue
            resource = self.read(f"Observation/{name}")
            if resource is not None:
                found[name] = resource
            else:
                found.pop(name, None)
        return found

    def read(self, ref: str) -> Json | None:
        """Read a resource by its id; None if it does not exist, or does not exist any more.

        Raises:
            SourceError: the server fails or refuses, or its answer is not FHIR.
        """
        url = f"{self._connection.base}/{ref}"
        try:
            content = self._connection.client.request("GET", url, headers=_FRESH).content
            return dict(DECODER.decode(content))
        except HttpError as error:
            if refusals.gone(error):
                return None
            raise
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, ValueError):
            raise SourceError(f"{without_query(url)}: the answer is not FHIR") from None

    def _searched(self, identifiers: Iterable[str]) -> PublishedByIdentifier:
        connection = self._connection
        return published_with(connection.searcher, identifiers, connection.origin, connection.base)

    def _of_category(self) -> PublishedByIdentifier:
        """The endpoints by their category, where the search by identifier finds none.

        Some servers do not search by the system of an identifier alone.
        """
        connection = self._connection
        try:
            return all_of_category(connection.searcher, connection.origin, connection.base)
        except HttpError as error:
            LOG.info("%s: not searched by category: %s", connection.base, error)
            return {}

    def _completed(
        self, found: PublishedByIdentifier, remembered: dict[str, KnownId]
    ) -> PublishedByIdentifier:
        self._await_unanswered(found, remembered)
        gone = []
        seen = {}
        for identifier, known in remembered.items():
            if not known.id or not _is_doubtful(known, found.get(identifier, ())):
                continue
            endpoint = self._read_endpoint(known.id)
            others = [one for one in found.pop(identifier, ()) if one.id != known.id]
            if endpoint is None or endpoint.identifier != identifier:
                gone.append(identifier)
            else:
                seen[identifier] = (endpoint.id, endpoint.version)
                others.append(endpoint)
            if others:
                found[identifier] = others
        self._known.forget(gone)
        self._known.written(seen)
        return found

    def _await_unanswered(
        self, found: PublishedByIdentifier, remembered: dict[str, KnownId]
    ) -> None:
        """Search the endpoints whose creation was not answered until they are found, or not."""
        unanswered = {name for name, known in remembered.items() if not known.id}
        if not unanswered:
            return
        last = max(remembered[name].sent or 0.0 for name in unanswered)

        def search(missing: set[str]) -> Iterable[str]:
            if missing - found.keys():
                found.update(self._searched(missing))
            return found.keys() & missing

        missing = wait_until_found(search, unanswered, last, self._connection.patience)
        self._known.not_written(missing)
        self._known.written(
            {name: (found[name][0].id, found[name][0].version) for name in unanswered - missing}
        )

    def _read_endpoint(self, name: str) -> PublishedEndpoint | None:
        resource = self.read(f"Observation/{name}")
        if resource is None:
            return None
        return endpoint_of(resource, self._connection.origin, self._connection.base)


def _is_doubtful(known: KnownId, found: Iterable[PublishedEndpoint]) -> bool:
    """Whether what a search found of an endpoint may be older than what was written."""
    endpoint = next((one for one in found if one.id == known.id), None)
    if endpoint is None:
        return True
    if known.sent is not None:
        return True
    return bool(known.version) and endpoint.version != known.version
