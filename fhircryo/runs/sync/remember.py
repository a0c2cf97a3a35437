"""Saves the outcome of a run in the state; every function runs in the caller's transaction."""

from datetime import UTC, datetime

from fhircryo.endpoints.due import next_due
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.target_server import PushResult
from fhircryo.record.patients import Selection
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.patient_states import patient_states, versions_read
from fhircryo.runs.sync.state_database import State


def remember_patients(
    state: State,
    config: RunConfig,
    read: ReadResult,
    patients: list[PatientOutput],
    pushed: PushResult,
    not_computed: set[str],
) -> None:
    """Save the patients whose endpoints are on the target, and mark rejected patients as pending.

    Patients whose endpoints were not sent, because the run was stopped, stay as they are.

    ``patients``: the computed endpoints. ``not_computed``: ids that the run covered and for which
    it computed nothing; they are removed from the state unless they are candidates.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    not_written = pushed.unsent() | pushed.rejected.keys()
    identifiers = {output.patient: output.identifiers() for output in patients}
    states = patient_states(read)
    for patient, why in pushed.rejected.items():
        state.mark_pending(patient, why, now)
    for changes in pushed.difference.patients:
        if changes.patient in pushed.rejected:
            # The next run retracts what it does not compute of these.
            state.add_published(changes.patient, changes.identifiers())
    for patient in sorted(not_computed - not_written):
        if patient not in states:
            state.remove_patient(patient)
    refs: set[str] = set()
    for patient, patient_state in states.items():
        if patient in not_written:
            continue
        patient_state.published = set(identifiers.get(patient, ()))
        record = read.records.records.get(patient)
        if record is not None:
            patient_state.due = next_due(record, config.protocol, config.as_of, read.lacking)
        state.save_patient(patient_state)
        refs |= patient_state.refs
    # Versions are saved last. Replacing or removing a patient deletes the versions of the
    # resources that the patient depended on, and another patient may depend on one of them now.
    state.set_versions(versions_read(read, refs))


def selection_changes(state: State, selection: Selection) -> set[str]:
    """The patients who joined or left the list of objections or the list of followed patients."""
    changed: set[str] = set()
    for name, patients in _lists_of(selection).items():
        changed |= patients ^ state.patient_list(name)
    return changed


def remember_selection(state: State, selection: Selection) -> None:
    """Save the lists of this run, so that the next run can compare them."""
    for name, patients in _lists_of(selection).items():
        state.set_patient_list(name, patients)


def _lists_of(selection: Selection) -> dict[str, frozenset[str]]:
    """The lists by the name that the state gives them."""
    return {"excluded": selection.exclude, "listed": selection.include or frozenset()}
