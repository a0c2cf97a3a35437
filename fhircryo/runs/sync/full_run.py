"""A full run: the whole source is read and computed, and the state is replaced."""

import logging

from fhircryo.errors import SourceError
from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.search import Searcher, head_of
from fhircryo.interrupts import held
from fhircryo.publish.comparison import RetractionScope
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.target_server import PushResult
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.sync.full_or_increment import remember_full_run
from fhircryo.runs.sync.remember import remember_patients, remember_selection
from fhircryo.runs.sync.steps import SyncSteps
from fhircryo.runs.sync.time_ignored import remember_time_ignored, was_ignored
from fhircryo.runs.sync.watermark import Watermark, after_export, after_searches, save
from fhircryo.sources.code_searches import code_searches

LOG = logging.getLogger("fhircryo.sync")

_NEWEST_FIRST = {"_sort": "-_lastUpdated", "_count": "10"}


def run_full(steps: SyncSteps, reason: str) -> None:
    """Read everything, write what differs, and replace the state.

    The state stays as it is in a dry run, and if the run is held back or stopped.
    """
    steps.result.full = reason
    LOG.info("full run: %s", reason)
    steps.state.check()
    if steps.exports is not None:
        read = steps.exports.read_everything(steps.check_stopped)
        _see_stamps(steps, read)
        # The export may have been started by an earlier run that was interrupted.
        watermark = after_export(steps, read.collected.exported_at, anew=True)
    else:
        searcher = Searcher(steps.client)
        try:
            _look_before_reading(steps, searcher)
            read = steps.search(steps.config)
            _see_stamps(steps, read)
            watermark = after_searches(steps, searcher, anew=True)
        finally:
            searcher.close()
    patients = steps.compute(read)
    if steps.held_back():
        return
    with held():  # what is written is remembered
        pushed = steps.push(patients, RetractionScope())
        if steps.options.dry_run or steps.result.stopped:
            return
        _replace_state(steps, read, patients, pushed, watermark)


def _look_before_reading(steps: SyncSteps, searcher: Searcher) -> None:
    """Ask for the server's time and for the newest resources, before the source is read.

    In a hospital the types that are asked for change all day, so that their stamps tell the clock.
    """
    capabilities(steps.client)
    searcher.any("Patient", {})  # only for the time in the answer
    psa = code_searches(steps.config.mappings, ("psa",))[0]
    for kind, search in (("Patient", {}), ("Procedure", {}), ("Observation", psa)):
        try:
            newest = searcher.sample(kind, {**search, **_NEWEST_FIRST}, 1)
        except SourceError as error:
            LOG.debug("%s: the newest resources cannot be asked for: %s", kind, error)
            continue
        heads = map(head_of, newest.lines)
        steps.clock.see(head.meta.last_updated for head in heads if head and head.meta)


def _see_stamps(steps: SyncSteps, read: ReadResult) -> None:
    steps.clock.see(item.updated for item in read.collected.items.values())


def _replace_state(
    steps: SyncSteps,
    read: ReadResult,
    patients: list[PatientOutput],
    pushed: PushResult,
    watermark: Watermark,
) -> None:
    """Replace the state in one transaction; patients rejected again stay pending since before."""
    state = steps.state
    with state.transaction():
        pending_before = state.pending()
        time_ignored = steps.time_ignored or was_ignored(state)
        state.clear()
        for pending in pending_before:
            if pending.patient in pushed.rejected:
                state.restore_pending(pending)
        remember_patients(state, steps.config, read, patients, pushed, set())
        save(state, watermark)
        remember_time_ignored(state, time_ignored)
        remember_full_run(state, steps.config, steps.options.today, read.lacking)
        remember_selection(state, steps.config.selection)
