"""Bulk export in a scheduled run: everything, or what changed since the last one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fhircryo.fhir.bulk.export_job import cancel
from fhircryo.fhir.bulk.exporting import Watch, export
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client
from fhircryo.runs.read_source import ReadOptions, ReadResult, read_opened
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.changes import ChangeReader, Changes
from fhircryo.sources.bulk_source import Bulk, asked_for
from fhircryo.sources.open_source import server_source
from fhircryo.sources.source import Progress
from fhircryo.storage.work_folder import work_folder


class StoppedError(Exception):
    """Somebody asked the run to end, before anything was written."""


class Exports:
    """The exports of a run; their files lie beside ``place``. ``stopped`` is asked meanwhile."""

    def __init__(
        self, client: Client, job: RunConfig, level: str, place: Path, stopped: Callable[[], bool]
    ) -> None:
        self._client = client
        self._job = job
        self._level = level
        self._place = place
        self._stopped = stopped

    def everything(self, progress: Progress) -> ReadResult:
        """All that the server has.

        Raises:
            StoppedError: somebody asked to stop; the export is cancelled.
            SourceError: the server does not export, or fails.
        """
        bulk = Bulk(self._level, Watch(stopped=self._stopped))
        with self._working() as work:
            source = server_source(self._client, self._job.settings.source, bulk, work)
            return read_opened(source, self._job, ReadOptions(progress=progress))

    def changes(self, reader: ChangeReader, can: Capabilities) -> tuple[Changes, str | None]:
        """What changed since the last run, and the server's time of the export; as ``everything``.

        Raises:
            NoIncrementError: nothing is remembered of a last run.
        """
        asked = asked_for(self._level, self._job.mappings, can, reader.since())
        patience = self._job.settings.source.bulk_patience
        with self._working() as work:
            exported = export(self._client, asked, work, patience, Watch(stopped=self._stopped))
            changes = reader.read_export(exported)
            cancel(self._client, exported.status_url)
        return changes, exported.at

    @contextmanager
    def _working(self) -> Iterator[Path]:
        try:
            with work_folder(self._place, self._client.base) as work:
                yield work
        except KeyboardInterrupt:
            if self._stopped():
                raise StoppedError from None
            raise
