"""Finds and creates a resource of which a target holds one, where the server chooses the id."""

from collections.abc import Iterator

from fhircryo.fhir.client import HttpError, UnreachableError
from fhircryo.publish.patience import wait_until_found
from fhircryo.publish.reading_back import PublishedReader
from fhircryo.publish.refused_write import CONFLICTS, is_unanswered
from fhircryo.publish.retry_budget import TRIES, RetryBudget
from fhircryo.publish.shapes import json_object
from fhircryo.publish.single_request import send_single
from fhircryo.publish.target_connection import TargetConnection
from fhircryo.publish.transaction import WriteRequest

#: The server asks to send the request later.
_BUSY = frozenset({425, 429})


class OneResource:
    """A resource that is remembered under a name, and is found by a search.

    ``kind``: its type. ``params``: of the search.
    """

    def __init__(
        self, connection: TargetConnection, name: str, kind: str, params: dict[str, str]
    ) -> None:
        self._connection = connection
        self._known = connection.known
        self._name = name
        self._kind = kind
        self._params = params
        self._reader = PublishedReader(connection)

    def find(self) -> str:
        """The id of the resource; empty if the target does not hold it.

        Where its creation was not answered, it is searched for as long as the index may lag.
        """
        known = self._known.of([self._name]).get(self._name)
        if known is not None and known.id:
            if self._reader.read(f"{self._kind}/{known.id}") is not None:
                return known.id
            self._known.forget([self._name])
            known = None
        found = self.searched(None if known is None else known.sent)
        if found:
            self._known.written({self._name: (found[0], "")})
            return found[0]
        self._known.not_written([self._name])
        return ""

    def searched(self, sent: float | None) -> list[str]:
        """The ids that the search finds, in their order.

        ``sent``: when the resource was written, from when on it may take the patience of the
        settings to be found (seconds since 1970); None where it is not known that it was.
        """
        found: list[str] = []

        def search(_: set[str]) -> Iterator[str]:
            for page in self._connection.searcher.search(self._kind, self._params):
                names = (json_object(line).get("id") for line in page)
                found.extend(name for name in names if name and isinstance(name, str))
            if found:
                yield self._name

        wait_until_found(search, [self._name], sent or 0.0, self._connection.patience)
        return sorted(set(found))

    def create(self, request: WriteRequest) -> str:
        """Create the resource; its id.

        Raises:
            HttpError: the server refuses, or fails until the budget is used up.
            UnreachableError: no answer arrives within the budget.
        """
        budget = RetryBudget(self._connection.client.connection.budget)
        attempt = 0
        while True:
            attempt += 1
            self._known.sending({self._name: request.known_id})
            try:
                written = send_single(self._connection.client, request)
            except (HttpError, UnreachableError) as error:
                refusal = error if isinstance(error, HttpError) else None
                if refusal is not None and not is_unanswered(refusal):
                    self._known.not_written([self._name])
                    if refusal.status not in CONFLICTS | _BUSY or attempt == TRIES:
                        raise
                retry_after = refusal.retry_after if refusal is not None else None
                if not budget.wait(attempt, retry_after, str(error)):
                    raise
                found = self.find()
                if found:
                    return found
            else:
                name = written.stored_as or written.id
                self._known.written({self._name: (name, written.version)})
                return name
