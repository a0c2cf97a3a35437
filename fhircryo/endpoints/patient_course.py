"""What the endpoints of a patient are computed from; each part is computed once."""

from datetime import date

import msgspec

from fhircryo.endpoints.complications import Complications, complications
from fhircryo.endpoints.psa import PsaCourse, psa_course
from fhircryo.endpoints.recurrence import ClinicalEvents, clinical_events
from fhircryo.endpoints.salvage import as_failures, salvage_therapy
from fhircryo.endpoints.timeline import Timeline, build_timeline
from fhircryo.mapping.protocol import Protocol
from fhircryo.mapping.schema import Scale
from fhircryo.record.items import Lacking, PatientRecord


class PatientCourse(msgspec.Struct):
    """A patient's course, as the endpoints see it.

    ``therapies``: salvage therapies; ``failing``: those of them that count, or may count, as a
    failure. ``events``: recurrences and progressions; ``disease``: these with ``failing``, all that
    ends freedom from disease. ``lacking``: what the source does not hold. ``scales``: by name.
    """

    line: Timeline
    psa: PsaCourse
    therapies: ClinicalEvents
    failing: ClinicalEvents
    events: ClinicalEvents
    disease: ClinicalEvents
    complications: Complications
    lacking: Lacking
    scales: dict[str, Scale]

    @property
    def protocol(self) -> Protocol:
        """The protocol that the endpoints follow."""
        return self.line.protocol


def patient_course(
    record: PatientRecord,
    protocol: Protocol,
    as_of: date,
    lacking: Lacking,
    scales: dict[str, Scale],
) -> PatientCourse | None:
    """The course of a patient; None if he has no index procedure by the as-of date."""
    line = build_timeline(record, protocol, as_of)
    if line is None:
        return None
    therapies = salvage_therapy(line)
    failing = as_failures(line, therapies)
    psa = psa_course(line, therapies)
    events = clinical_events(line)
    return PatientCourse(
        line=line,
        psa=psa,
        therapies=therapies,
        failing=failing,
        events=events,
        disease=events.and_also(failing),
        complications=complications(line),
        lacking=lacking,
        scales=scales,
    )
