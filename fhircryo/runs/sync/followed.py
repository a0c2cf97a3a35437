"""Who is followed, and what his endpoints stand on, of what a run has read."""

from fhircryo.fhir.history import version_of
from fhircryo.record.items import PatientFacts, Treatment
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.sync.state_database import PatientState


def of_everybody(read: ReadResult) -> dict[str, PatientState]:
    """What each candidate's endpoints stand on, or could; and his ids.

    Those of whom there is no record (labelled as test data, say) are followed as well: they may
    come to have one.
    """
    patients = read.collected.patients
    current = patients.current
    kept = read.collected.items
    candidates = {current(item.patient) for item in kept.values() if isinstance(item, Treatment)}
    found = {
        patient: PatientState(patient, aliases={patient})
        for patient in candidates
        if patients.allowed(patient)
    }
    for ref, item in kept.items():
        whose = found.get(current(item.patient)) if item.patient else None
        if whose is not None:
            whose.refs.add(ref)
            whose.aliases.add(item.patient)
            medication = getattr(item, "medication", "")
            if medication:
                whose.refs.add(medication)
    for patient, record in read.records.records.items():
        found[patient].refs.update(record.foreign_events)
        found[patient].refs.add(f"Patient/{patient}")
    return found


def versions_of(read: ReadResult, refs: set[str]) -> dict[str, str]:
    """The versions of some resources, as they were read."""
    kept = read.collected.items
    return {ref: version_of(kept[ref].version, kept[ref].updated) for ref in refs if ref in kept}


def known_as(read: ReadResult) -> dict[str, str]:
    """What another server knows the patients by."""
    return {
        item.patient: item.identifier
        for item in read.collected.items.values()
        if isinstance(item, PatientFacts)
    }
