"""The patients who could be in a cohort, as their procedures say, and why some may not be."""

import msgspec

from fhircryo.record.collector import add_counts, type_of
from fhircryo.record.items import NotUsed, Treatment
from fhircryo.record.patients import Selection
from fhircryo.runs.read_source import ReadResult


class Candidates(msgspec.Struct):
    """Numbers of patients with a cryoablation.

    ``all``: with one that can be the index procedure. Of these, ``objected``, ``not_listed`` and
    ``test``: who objected, is not on the list of patients, is labelled as test data. ``not_index``:
    the patients with other cryoablations only; ``procedures``: these by reason, of which a patient
    may have several.
    """

    all: int = 0
    objected: int = 0
    not_listed: int = 0
    test: int = 0
    not_index: int = 0
    procedures: dict[str, int] = {}

    def add(self, more: "Candidates") -> None:
        """Add the numbers of other patients."""
        self.all += more.all
        self.objected += more.objected
        self.not_listed += more.not_listed
        self.test += more.test
        self.not_index += more.not_index
        add_counts(self.procedures, more.procedures)


def candidates_of(read: ReadResult, selection: Selection) -> Candidates:
    """The numbers of the patients whose resources were read."""
    patients = read.collected.patients
    candidates = {
        patients.current(item.patient)
        for item in read.collected.items.values()
        if type(item) is Treatment and item.patient
    }
    objected = {patients.current(patient) for patient in selection.exclude} & candidates
    allowed = {patient for patient in candidates if patients.allowed(patient)}
    procedures = _procedures(read, candidates)
    return Candidates(
        all=len(candidates),
        objected=len(objected),
        not_listed=len(candidates - allowed - objected),
        test=len(allowed - read.records.records.keys()),
        not_index=len(set().union(*procedures.values())),
        procedures={reason: len(found) for reason, found in procedures.items()},
    )


def _procedures(read: ReadResult, candidates: set[str]) -> dict[str, set[str]]:
    """By reason, the patients with only cryoablations that cannot be the index procedure."""
    patients = read.collected.patients
    by_reason: dict[str, set[str]] = {}
    for item in read.collected.items.values():
        if not isinstance(item, NotUsed) or type_of(item.ref) != "Procedure" or not item.patient:
            continue
        current = patients.current(item.patient)
        if current not in candidates:
            by_reason.setdefault(str(item.reason), set()).add(current)
    return by_reason
