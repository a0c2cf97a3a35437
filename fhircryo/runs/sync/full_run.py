"""A full run: the whole source is read and computed, and the state is replaced."""

import logging

from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.client import Client
from fhircryo.fhir.search import Searcher
from fhircryo.fhir.wire import DECODERS
from fhircryo.publish.comparison import RetractionScope
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.target_server import PushResult
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.sync.full_or_increment import remember_full_run
from fhircryo.runs.sync.remember import remember_patients, remember_selection
from fhircryo.runs.sync.server_time import server_time
from fhircryo.runs.sync.steps import SyncSteps

LOG = logging.getLogger("fhircryo.sync")


def run_full(steps: SyncSteps, reason: str) -> None:
    """Read everything, write what differs, and replace the state.

    The state stays as it is in a dry run, and if the run is held back or stopped.
    """
    steps.result.full = reason
    LOG.info("full run: %s", reason)
    steps.state.check()
    watermark = _time_before_reading(steps.client)
    if steps.exports is not None:
        read = steps.exports.read_everything(steps.check_stopped)
        # The export may have been started by an earlier run that was interrupted.
        watermark = read.collected.exported_at
    else:
        read = steps.search(steps.config)
    patients = steps.compute(read)
    if steps.held_back():
        return
    pushed = steps.push(patients, RetractionScope())
    if steps.options.dry_run or steps.result.stopped:
        return
    _replace_state(steps, read, patients, pushed, watermark)


def _time_before_reading(client: Client) -> str | None:
    """The server's time before the source is read; None if the server does not give it."""
    searcher = Searcher(client)
    try:
        capabilities(client)
        searcher.any("Patient", {})  # only for the time in the answer
        return server_time(client, searcher)
    finally:
        searcher.close()


def _replace_state(
    steps: SyncSteps,
    read: ReadResult,
    patients: list[PatientOutput],
    pushed: PushResult,
    watermark: str | None,
) -> None:
    """Replace the state in one transaction; patients rejected again stay pending since before."""
    state = steps.state
    with state.transaction():
        pending_before = state.pending()
        state.clear()
        for pending in pending_before:
            if pending.patient in pushed.rejected:
                state.restore_pending(pending)
        remember_patients(state, steps.config, read, patients, pushed, set())
        if watermark is not None:
            state.set_watermarks(dict.fromkeys(DECODERS, watermark))
        remember_full_run(state, steps.config, steps.options.today, read.lacking)
        remember_selection(state, steps.config.selection)
