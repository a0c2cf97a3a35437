"""The time that a source server states of itself."""

from datetime import datetime

from fhircryo.calendar import moment
from fhircryo.fhir.client import Client
from fhircryo.fhir.search import Searcher


def server_time(client: Client, searcher: Searcher) -> datetime | None:
    """The server's time before its first answer of this run; None if the server does not give it.

    The HTTP headers and the Bundles may come from two clocks; the earlier time is returned.
    """
    times = [client.first_answered] if client.first_answered is not None else []
    if searcher.answered:
        times.append(moment(searcher.answered))
    return min(times) if times else None


def as_instant(time: datetime) -> str:
    """A time as a FHIR ``instant`` with milliseconds."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
