"""What the endpoints of a patient are computed from; each part is computed once."""

from datetime import date

import msgspec

from fhircryo.endpoints.complications import Complications, complications
from fhircryo.endpoints.contact import Contact, last_contact
from fhircryo.endpoints.death import Death, death_of
from fhircryo.endpoints.events import ClinicalEvents, Event
from fhircryo.endpoints.psa import PsaCourse, psa_course
from fhircryo.endpoints.recurrence import clinical_events
from fhircryo.endpoints.salvage import Continuation, salvage_therapy
from fhircryo.endpoints.timeline import Timeline, build_timeline
from fhircryo.mapping.grade_schema import (
    Scale,
)
from fhircryo.mapping.protocol import Protocol
from fhircryo.record.items import Lacking, PatientRecord


class PatientCourse(msgspec.Struct):
    """A patient's course, as the endpoints see it.

    ``therapies``: salvage therapies. ``hormone``: hormone therapy at index and its continuation.
    ``events``: metastases, recurrences and progressions. ``failures``: the biochemical failure, and
    possible ones. ``contact``: the last contact. ``death``: the death, its interval narrowed by the
    last contact. ``lacking``: what the source does not hold. ``scales``: by name.
    """

    line: Timeline
    psa: PsaCourse
    therapies: ClinicalEvents
    hormone: Continuation
    events: ClinicalEvents
    failures: ClinicalEvents
    contact: Contact | None
    death: Death | None
    complications: Complications
    lacking: Lacking
    scales: dict[str, Scale]

    @property
    def protocol(self) -> Protocol:
        """The protocol that the endpoints follow."""
        return self.line.protocol

    @property
    def disease(self) -> ClinicalEvents:
        """All that ends freedom from disease, death aside.

        These are the biochemical failure, the clinical events and, where the protocol counts it,
        salvage therapy.
        """
        found = self.events.and_also(self.failures)
        if self.protocol.salvage_therapy != "event":
            return found
        return found.and_also(self.therapies)

    @property
    def doubtful_therapies(self) -> list[Event]:
        """The possible salvage therapies that leave open whether the PSA series goes on."""
        return [] if self.protocol.salvage_therapy == "report" else self.therapies.possible

    @property
    def lacks_response(self) -> bool:
        """Whether PSA never fell below the baseline, and the protocol takes that into account."""
        return self.psa.response is False and self.protocol.disease_free.no_response == "absent"

    @property
    def lacks_therapies(self) -> bool:
        """Whether the source lacks medications that would change endpoints resting on PSA."""
        return self.lacking.medications and self.protocol.salvage_therapy != "report"


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
    therapies, hormone = salvage_therapy(line)
    psa = psa_course(line, therapies)
    events = clinical_events(line)
    contact = last_contact(line, events)
    return PatientCourse(
        line=line,
        psa=psa,
        therapies=therapies,
        hormone=hormone,
        events=events,
        failures=psa.events(),
        contact=contact,
        death=death_of(line, contact),
        complications=complications(line),
        lacking=lacking,
        scales=scales,
    )
