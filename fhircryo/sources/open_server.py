"""Opens a server as a source: by search, or by bulk export."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fhircryo.fhir.client import Client
from fhircryo.fhir.connect import READING, open_client
from fhircryo.fhir.page_cache import KeptPages
from fhircryo.fhir.urls import without_query
from fhircryo.settings import ServerSettings
from fhircryo.sources.bulk_source import Bulk, BulkSource, needs_of
from fhircryo.sources.search_source import SearchSource
from fhircryo.sources.source import Source
from fhircryo.storage.work_folder import work_folder


@contextmanager
def open_server(
    server: str, settings: ServerSettings, bulk: Bulk | None = None, work_beside: Path | None = None
) -> Iterator[Source]:
    """A server as a source.

    ``server``: its base URL. ``settings``: how it is reached. ``bulk``: read it by bulk export.
    ``work_beside``: see :class:`fhircryo.sources.open_source.ServerReading`.

    Raises:
        SourceError: the server cannot be reached, or refuses.
        UsageError: the settings do not fit together.
    """
    needs = READING if bulk is None else needs_of(bulk.level)
    with ExitStack() as stack:
        work = None
        if work_beside is not None:
            work = stack.enter_context(work_folder(work_beside, without_query(server)))
        client = stack.enter_context(open_client(server, settings, needs))
        yield server_source(client, settings, bulk, work)


def server_source(
    client: Client,
    settings: ServerSettings,
    bulk: Bulk | None = None,
    work: Path | None = None,
) -> Source:
    """A server that is open already as a source; ``work``: a folder to keep what is read in."""
    if bulk is not None and work is not None:
        return BulkSource(client, bulk, work, settings.bulk_patience)
    return SearchSource(client, None if work is None else KeptPages(work))
