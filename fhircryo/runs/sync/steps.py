"""The steps that full runs and increments share: search, compute, check, write."""

from fhircryo.fhir.client import Client
from fhircryo.publish.comparison import RetractionScope
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.target_server import PushResult, TargetServer
from fhircryo.runs.read_source import ReadOptions, ReadResult, read_opened
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.data_clock import DataClock
from fhircryo.runs.sync.exports import Exports
from fhircryo.runs.sync.state_database import State
from fhircryo.runs.sync.sync_options import StoppedError, SyncOptions
from fhircryo.runs.sync.sync_result import SyncResult
from fhircryo.runs.to_server import compute_outputs
from fhircryo.sources.bulk_source import level_of
from fhircryo.sources.open_server import server_source


class SyncSteps:
    """The steps of one sync run, over an open state, source and target; they fill ``result``.

    ``client``: of the source. ``clock``: of its resources. ``exports``: None unless the settings
    ask for bulk export.
    """

    def __init__(
        self,
        config: RunConfig,
        options: SyncOptions,
        state: State,
        client: Client,
        target: TargetServer,
        clock: DataClock,
    ) -> None:
        self.config = config
        self.options = options
        self.state = state
        self.client = client
        self._target = target
        self.clock = clock
        self.result = SyncResult()
        #: Whether this run noticed that the server ignores ``_lastUpdated``.
        self.time_ignored = False
        level = config.settings.sync.bulk
        self.exports: Exports | None = None
        if level is not None:
            place = state.path.with_suffix("")
            self.exports = Exports(client, config, level_of(level), place, options.stopped)

    def search(self, config: RunConfig) -> ReadResult:
        """Read the records of the patients that a configuration selects, by searches."""
        source = server_source(self.client, config.settings.source)
        return read_opened(source, config, ReadOptions(progress=self.check_stopped))

    def check_stopped(self, *_: int) -> None:
        """End the run if it was asked to stop; called while reading, before anything is written.

        Raises:
            StoppedError: the run was asked to stop.
        """
        if self.options.stopped():
            raise StoppedError

    def compute(self, read: ReadResult) -> list[PatientOutput]:
        """The endpoints of the patients that were read."""
        patients, self.result.summary = compute_outputs(read, self.config)
        self.result.patients = len(patients)
        return patients

    def held_back(self) -> bool:
        """Whether nothing may be written because resources of the source were unreadable."""
        accepted = self.options.accept_unreadable or self.config.settings.sync.accept_unreadable
        summary = self.result.summary
        unreadable = summary is not None and bool(summary.unreadable)
        prevented = unreadable and not accepted
        self.result.held_back = prevented and not self.options.dry_run
        self.result.would_be_held_back = prevented and self.options.dry_run
        return self.result.held_back

    def push(self, patients: list[PatientOutput], scope: RetractionScope) -> PushResult:
        """Write the endpoints that differ from those on the target."""
        if not self.options.dry_run:
            with self.state.transaction():
                self.state.begin_writing((one.patient, one.identifiers()) for one in patients)
        pushed = self._target.push(patients, scope, stopped=self.options.stopped)
        self.result.pushed = pushed
        self.result.stopped = pushed.written.stopped
        return pushed
