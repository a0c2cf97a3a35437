"""Finds out whether a target's search by identifier finds the endpoints that the target holds.

On a server that chooses the ids, nothing else keeps endpoints from being created twice when nothing
is remembered of them. What other searches find shows whether it can be relied on.
"""

import logging
import time
from collections.abc import Iterable

from fhircryo.errors import TargetError
from fhircryo.fhir.client import HttpError
from fhircryo.fhir.search import Params
from fhircryo.publish.patience import wait_until_found
from fhircryo.publish.published_endpoint import (
    PublishedEndpoint,
    category_of,
    endpoint_of,
    published_with,
)
from fhircryo.publish.shapes import OutReference, json_object
from fhircryo.publish.target_connection import TargetConnection

LOG = logging.getLogger("fhircryo.target")

#: How many endpoints are looked for.
_SAMPLE = 20


class IdentifierSearch:
    """The search ``Observation?identifier=`` of a target.

    ``works``: whether it was seen to find an endpoint.
    """

    def __init__(self, connection: TargetConnection) -> None:
        self._connection = connection
        self.works = False

    def contradiction(self, device: OutReference | None) -> str:
        """Why the search cannot be relied on, in words; empty if nothing is known against it.

        Endpoints that other searches find have to be found by their identifiers as well, at most
        three requests if they are. ``device``: what endpoints refer to.
        """
        sample = self._sample(device)
        missing = self._missing(one.identifier for one in sample)
        self.works = self.works or (bool(sample) and not missing)
        if not missing:
            return ""
        hidden = next(one for one in sample if one.identifier in missing)
        return _refusal("Observation", f"Observation/{hidden.id} is there and was not found")

    def try_created(self, identifiers: Iterable[str]) -> None:
        """Search endpoints that were just created, unless the search was seen to work.

        Raises:
            TargetError: it does not find them within the patience of the settings.
            SourceError: the target fails.
        """
        wanted = set(identifiers)
        if self.works or not wanted:
            return
        if self._missing(wanted):
            raise search_refused(self._connection, "Observation")
        self.works = True

    def _missing(self, identifiers: Iterable[str]) -> set[str]:
        """Which endpoints the search does not find within the patience of the settings."""
        connection = self._connection

        def search(missing: set[str]) -> Iterable[str]:
            found = published_with(connection.searcher, missing, connection.origin, connection.base)
            return found.keys()

        return wait_until_found(search, identifiers, time.time(), connection.patience)

    def _sample(self, device: OutReference | None) -> list[PublishedEndpoint]:
        """Some endpoints of the target that are found in another way, if any are."""
        found = self._found({"category": category_of(self._connection.origin)})
        if not found and device is not None:
            found = self._found({"device": str(device.reference)})
        return found

    def _found(self, params: Params) -> list[PublishedEndpoint]:
        connection = self._connection
        try:
            sample = connection.searcher.sample(
                "Observation", {**params, "_count": str(_SAMPLE)}, 1
            )
        except HttpError as error:
            LOG.info("%s: not searched by %s: %s", connection.base, ", ".join(params), error)
            return []
        endpoints = [
            endpoint_of(json_object(line), connection.origin, connection.base)
            for line in sample.lines[:_SAMPLE]
        ]
        # What somebody has overwritten with what is not FHIR is not looked for.
        return [one for one in endpoints if one is not None and one.identifier and one.digest]


def search_refused(connection: TargetConnection, kind: str, error: str = "") -> TargetError:
    """The error for a target whose search does not find what was written of a type."""
    words = error or f"what was written was not found within {connection.patience:g} s"
    return TargetError(f"{connection.base}: {_refusal(kind, words)}")


def _refusal(kind: str, words: str) -> str:
    return (
        f"the search {kind}?identifier= does not find what was written: {words}; on a server that"
        " chooses the ids, nothing would keep endpoints from being doubled, so it is not written"
        " to; have identifier of Observation and Device indexed, give the index more time (setting"
        " write.index_patience), let clients choose ids (update as create), or write to a folder"
    )
