"""Opens a source by what the user named: a folder, or a server by search or by bulk export."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fhircryo.settings import ServerSettings
from fhircryo.sources.folder_source import FolderSource, file_limits
from fhircryo.sources.places import server_of
from fhircryo.sources.source import Source

if TYPE_CHECKING:
    from fhircryo.sources.bulk_source import Bulk


@dataclass(frozen=True)
class ServerReading:
    """How a server is read; a folder needs none of it.

    ``work_beside``: a private work folder is kept beside this path while reading, so that an
    interrupted run does not have to read everything again: pages of searches or files of an export
    (None: nothing is kept). ``bulk``: read by bulk export, which needs a work folder.
    """

    work_beside: Path | None = None
    bulk: "Bulk | None" = None


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
    # Imported here, because importing the HTTP client takes longer than computing a small folder.
    from fhircryo.sources.open_server import open_server

    with open_server(server, settings, how.bulk, how.work_beside) as source:
        yield source
