"""Opens a source by what the user named: a folder, or a server by search or by bulk export."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhircryo.fhir.client import Client, without_query
from fhircryo.fhir.connect import READING, open_client
from fhircryo.fhir.page_cache import KeptPages
from fhircryo.settings import ServerSettings
from fhircryo.sources.bulk_source import Bulk, BulkSource, needs_of
from fhircryo.sources.folder_source import FolderSource, file_limits
from fhircryo.sources.places import server_of
from fhircryo.sources.search_source import SearchSource
from fhircryo.sources.source import Source
from fhircryo.storage.work_folder import work_folder


@dataclass(frozen=True)
class ServerReading:
    """How a server is read; a folder needs none of it.

    ``work_beside``: a private work folder is kept beside this path while reading, so that an
    interrupted run does not have to read everything again: pages of searches or files of an export
    (None: nothing is kept). ``bulk``: read by bulk export, which needs a work folder.
    """

    work_beside: Path | None = None
    bulk: Bulk | None = None


@contextmanager
def open_source(
    place: str | Path, settings: ServerSettings, how: ServerReading | None = None
) -> Iterator[Source]:
    """The source that a place names; ``settings``: how a server is reached.

    Raises:
        SourceError: the folder is not there, or holds nothing to read.
        UsageError: the settings do not fit together.
    """
    how = how or ServerReading()
    server = server_of(place)
    if server is None:
        yield FolderSource(Path(place), file_limits(settings))
        return
    needs = READING if how.bulk is None else needs_of(how.bulk.level)
    with ExitStack() as stack:
        work = None
        if how.work_beside is not None:
            work = stack.enter_context(work_folder(how.work_beside, without_query(server)))
        client = stack.enter_context(open_client(server, settings, needs))
        yield server_source(client, settings, how.bulk, work)


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
