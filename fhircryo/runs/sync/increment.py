"""An increment: only the patients whom a change may affect are read, computed and compared."""

import logging
from dataclasses import replace

from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.search import Searcher
from fhircryo.interrupts import held
from fhircryo.publish.comparison import RetractionScope
from fhircryo.record.patients import Selection
from fhircryo.runs.drivers import driver_of
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.changes import ChangeReader, SourceChanges
from fhircryo.runs.sync.followed_patients import FollowedPatients
from fhircryo.runs.sync.full_or_increment import lacking_changed
from fhircryo.runs.sync.patient_states import subject_identifiers
from fhircryo.runs.sync.remember import remember_patients, remember_selection, selection_changes
from fhircryo.runs.sync.steps import SyncSteps
from fhircryo.runs.sync.time_ignored import remember_time_ignored, say_once
from fhircryo.runs.sync.watermark import Watermark, after_export, after_searches, save

LOG = logging.getLogger("fhircryo.sync")


def run_increment(steps: SyncSteps) -> str:
    """Bring the affected patients up to date; returns why a full run is needed instead, or "".

    The watermarks stay as they are in a dry run, and if the run is held back or stopped.

    Raises:
        NoIncrementError: the source cannot say what changed.
    """
    changes, watermark = _read_changes(steps)
    changes.patients -= steps.config.selection.exclude
    affected = _affected_patients(steps, changes)
    result = steps.result
    result.changed = len(changes.resources)
    LOG.debug("changed: %s", ", ".join(sorted(changes.resources)))
    LOG.info("%d resources changed, %d patients affected", result.changed, len(affected))
    reason = _update(steps, affected, changes.patients) if affected else ""
    if reason or steps.options.dry_run or result.stopped or result.held_back:
        return reason
    with steps.state.transaction():
        save(steps.state, watermark)
        remember_time_ignored(steps.state, changes.whole)
        remember_selection(steps.state, steps.config.selection)
    return ""


def _read_changes(steps: SyncSteps) -> tuple[SourceChanges, Watermark]:
    """The changes since the last run, and the watermark of this run."""
    config = steps.config
    searcher = Searcher(steps.client)
    try:
        can = capabilities(steps.client)
        context = config.read_request(driver_of(1)).context(steps.client.base)
        listed = config.selection.include or frozenset()
        followed = FollowedPatients(context, steps.state, listed)
        reader = ChangeReader(searcher, can, config.mappings, followed, steps.state, steps.clock)
        if steps.exports is None:
            changes = reader.search_changes()
            return changes, after_searches(steps, searcher, anew=False)
        changes, at = steps.exports.read_changes(reader, can)
    finally:
        searcher.close()
    if changes.whole:
        say_once(steps.state, "the server exports resources from before _since")
    return changes, after_export(steps, at, anew=False)


def _affected_patients(steps: SyncSteps, changes: SourceChanges) -> set[str]:
    """The current ids of the patients to compute.

    They are affected by a change, by a changed list or by time alone, or they are pending, or an
    earlier run ended while they were written.
    """
    state = steps.state
    named = changes.patients | selection_changes(state, steps.config.selection)
    affected = {state.current_id(patient) or patient for patient in named}
    affected |= state.patients_due_by(steps.options.today)
    affected |= {pending.patient for pending in state.pending()} | state.begun()
    return affected


def _update(steps: SyncSteps, affected: set[str], named: set[str]) -> str:
    """Read the full records of the affected patients, compute them and write what differs.

    ``named``: the ids under which the changed resources name the patients. Returns why a full run
    is needed instead, or "".
    """
    state = steps.state
    ids = affected | named | state.ids_of(affected)
    read = steps.search(_config_for(steps, ids))
    if lacking_changed(state, read.lacking):
        return "the resource types that the source lacks have changed"
    patients = steps.compute(read)
    if steps.held_back():
        return ""
    ids |= {read.collected.patients.current(patient) for patient in ids}
    scope = RetractionScope(
        patients=frozenset(ids),
        known_as=subject_identifiers(read),
        identifiers=frozenset(state.published_identifiers(ids)),
        count_published=state.count_published_patients,
    )
    not_computed = ids - {computed.patient for computed in patients}
    with held():  # what is written is remembered
        pushed = steps.push(patients, scope)
        if not steps.options.dry_run:
            with state.transaction():
                remember_patients(state, steps.config, read, patients, pushed, not_computed)
    return ""


def _config_for(steps: SyncSteps, ids: set[str]) -> RunConfig:
    """The configuration of the run, restricted to those of the given patients who are allowed."""
    selection = steps.config.selection
    allowed = ids - selection.exclude
    if selection.include is not None:
        allowed &= selection.include | steps.state.ids_of(selection.include)
    return replace(steps.config, selection=Selection(frozenset(allowed), selection.exclude))
