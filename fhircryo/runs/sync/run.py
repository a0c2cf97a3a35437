"""A sync run: decides between a full run and an increment, and runs it.

The state is saved after the target has acknowledged what was written. If a run ends in between,
the next run repeats it and finds nothing left to write.
"""

from contextlib import ExitStack

from fhircryo.fhir.connect import READING, open_client
from fhircryo.publish.target_server import Permissions, open_target
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.changes import NoIncrementError, TimeIgnoredError
from fhircryo.runs.sync.data_clock import DataClock
from fhircryo.runs.sync.full_or_increment import full_run_reason
from fhircryo.runs.sync.full_run import run_full
from fhircryo.runs.sync.increment import run_increment
from fhircryo.runs.sync.state_database import State
from fhircryo.runs.sync.state_file import state_path, take_over_former, with_state
from fhircryo.runs.sync.steps import SyncSteps
from fhircryo.runs.sync.sync_options import SyncOptions, source_and_target
from fhircryo.runs.sync.sync_result import SyncResult
from fhircryo.runs.sync.time_ignored import say_once
from fhircryo.sources.bulk_source import level_of, needs_of


def sync(config: RunConfig, options: SyncOptions) -> SyncResult:
    """Bring the target up to date with the source.

    If it fails, what was written to the target is kept, and the next run reads and compares again
    what is not in the state.

    Raises:
        SourceError: the source cannot be reached, or refuses.
        TargetError: the target cannot be reached, or refuses.
        LockedError: another run writes to the target.
        UsageError: the settings do not fit together, or the state cannot be written.
        StoppedError, KeyboardInterrupt: the run was asked to stop before it wrote anything.
    """
    source, target_url = source_and_target(config)
    permissions = Permissions(options.dry_run, options.allow_retractions, options.allow_downgrade)
    with ExitStack() as stack:
        target = stack.enter_context(
            open_target(source, target_url, config.origin, config.settings, permissions, alone=True)
        )
        level = config.settings.sync.bulk
        needs = READING if level is None else needs_of(level_of(level))
        client = stack.enter_context(open_client(source, config.settings.source, needs))
        clock = DataClock(config.settings.sync.overlap)

        def run_with(state: State) -> SyncResult:
            steps = SyncSteps(config, options, state, client, target, clock)
            try:
                _run(steps)
            except KeyboardInterrupt:
                if steps.result.pushed is None:
                    raise
                steps.result.stopped = True
            steps.result.pending = state.pending()
            return steps.result

        take_over_former(config, source, target_url)
        result = with_state(state_path(config, source, target_url), run_with)
        result.requests = client.requests_made + target.requests_made
        return result


def _run(steps: SyncSteps) -> None:
    """Run a full run if one is due or turns out to be needed, else an increment."""
    reason = full_run_reason(steps.state, steps.config, steps.options)
    if not reason:
        try:
            reason = run_increment(steps)
        except TimeIgnoredError as error:
            steps.time_ignored = True
            say_once(steps.state, str(error))
            reason = str(error)
        except NoIncrementError as error:
            reason = f"the changes cannot be read: {error}"
    if reason:
        run_full(steps, reason)
