"""What a run saves in the state about each patient, taken from what it read."""

from fhircryo.fhir.history import version_of
from fhircryo.record.items import PatientFacts, Treatment
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.sync.state_database import PatientState


def patient_states(read: ReadResult) -> dict[str, PatientState]:
    """The ids of each allowed candidate, and the resources that the candidate's endpoints need.

    Includes candidates without a record, for example those labelled as test data: they are
    followed as well, because a later change may give them a record.
    """
    patients = read.collected.patients
    current = patients.current
    items = read.collected.items
    candidates = {current(item.patient) for item in items.values() if isinstance(item, Treatment)}
    states = {
        patient: PatientState(patient, aliases={patient})
        for patient in candidates
        if patients.allowed(patient)
    }
    for ref, item in items.items():
        state = states.get(current(item.patient)) if item.patient else None
        if state is not None:
            state.refs.add(ref)
            state.aliases.add(item.patient)
            medication = getattr(item, "medication", "")
            if medication:
                state.refs.add(medication)
    for patient, record in read.records.records.items():
        states[patient].refs.update(record.foreign_events)
        states[patient].refs.add(f"Patient/{patient}")
    return states


def versions_read(read: ReadResult, refs: set[str]) -> dict[str, str]:
    """The version in which each of the given resources was read."""
    items = read.collected.items
    return {ref: version_of(items[ref].version, items[ref].updated) for ref in refs if ref in items}


def subject_identifiers(read: ReadResult) -> dict[str, str]:
    """By patient id, the identifier under which another server knows the patient."""
    return {
        item.patient: item.identifier
        for item in read.collected.items.values()
        if isinstance(item, PatientFacts)
    }
