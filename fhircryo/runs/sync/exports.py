"""Bulk export in a sync run: the whole source, or what changed since the last run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fhircryo.fhir.bulk.export_job import cancel
from fhircryo.fhir.bulk.exporting import Watch, export
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client
from fhircryo.runs.read_source import ReadOptions, ReadResult, read_opened
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.changes import ChangeReader, SourceChanges
from fhircryo.runs.sync.sync_options import StoppedError
from fhircryo.sources.bulk_source import Bulk, asked_for
from fhircryo.sources.open_server import server_source
from fhircryo.sources.source import Progress
from fhircryo.storage.work_folder import work_folder


class Exports:
    """The bulk exports of a sync run.

    ``level``: ``system``, ``patient`` or ``Group/ID``. ``place``: the path beside which the files
    of an export are kept while it is read. ``stopped``: whether the run was asked to stop.
    """

    def __init__(
        self,
        client: Client,
        config: RunConfig,
        level: str,
        place: Path,
        stopped: Callable[[], bool],
    ) -> None:
        self._client = client
        self._config = config
        self._level = level
        self._place = place
        self._stopped = stopped

    def read_everything(self, progress: Progress) -> ReadResult:
        """Export the whole source and read it.

        Raises:
            StoppedError: the run was asked to stop; the export is cancelled.
            SourceError: the server does not support bulk export, or the export failed.
        """
        bulk = Bulk(self._level, Watch(stopped=self._stopped))
        with self._work_folder() as work:
            source = server_source(self._client, self._config.settings.source, bulk, work)
            return read_opened(source, self._config, ReadOptions(progress=progress))

    def read_changes(
        self, reader: ChangeReader, can: Capabilities
    ) -> tuple[SourceChanges, str | None]:
        """Export what changed since the last run; returns the changes and the time of the export.

        The time is the server's; None if the server does not give it.

        Raises:
            NoIncrementError: there is no watermark.
            StoppedError: the run was asked to stop; the export is cancelled.
            SourceError: the server does not support bulk export, or the export failed.
        """
        since = reader.oldest_watermark()
        asked = asked_for(self._level, self._config.mappings, can, since)
        patience = self._config.settings.source.bulk_patience
        with self._work_folder() as work:
            exported = export(self._client, asked, work, patience, Watch(stopped=self._stopped))
            changes = reader.exported_changes(exported)
            cancel(self._client, exported.status_url)
        return changes, exported.at

    @contextmanager
    def _work_folder(self) -> Iterator[Path]:
        """A folder for the files; an interruption by a request to stop becomes StoppedError."""
        try:
            with work_folder(self._place, self._client.base) as work:
                yield work
        except KeyboardInterrupt:
            if self._stopped():
                raise StoppedError from None
            raise
