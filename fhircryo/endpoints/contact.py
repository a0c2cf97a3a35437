"""Last contact: the latest day on which somebody is known to have seen the patient."""

from collections.abc import Iterator
from datetime import date

import msgspec

from fhircryo.calendar import Span
from fhircryo.endpoints.events import ClinicalEvents
from fhircryo.endpoints.result import Evidence, Role
from fhircryo.endpoints.timeline import Timeline


class Contact(msgspec.Struct, frozen=True):
    """The last contact: its day, and the resource that states it."""

    day: date
    ref: str

    def evidence(self) -> Evidence:
        """Return the last contact as evidence for a result."""
        return Evidence(Role.LAST_CONTACT, self.ref, "", self.day)


def last_contact(timeline: Timeline, events: ClinicalEvents) -> Contact | None:
    """Return the last contact in (D0, as-of]; None if there is none.

    ``events``: the clinical events. Dates count as recorded, if they are precise and not after a
    precise death.
    """
    limit = timeline.as_of
    if timeline.day_of_death is not None:
        limit = min(limit, timeline.day_of_death)
    latest, ref = timeline.d0, ""
    for source, when in _contacts(timeline, events):
        if when is None or not when.precise:
            continue
        day = when.first
        if day <= limit and (day > latest or (day == latest != timeline.d0 and source > ref)):
            latest, ref = day, source
    return Contact(latest, ref) if latest > timeline.d0 else None


def _contacts(timeline: Timeline, events: ClinicalEvents) -> Iterator[tuple[str, Span | None]]:
    """Yield each resource that is a contact, with its date as recorded."""
    record = timeline.record
    for psa in record.psa:
        yield psa.ref, psa.when
    for response in record.responses:
        yield response.ref, response.when
    for adverse_event in record.adverse_events:
        if adverse_event.problem is None:
            yield adverse_event.ref, adverse_event.when
    for grading in record.gradings:
        yield grading.ref, grading.when
    for treatment in record.treatments:
        yield treatment.ref, treatment.when
    for therapy in record.therapies:
        # An order is no contact: nobody has to be seen for a renewal.
        if therapy.problem is None and not therapy.order:
            yield therapy.ref, therapy.when
    for event in (*events.precise, *events.intervals, *events.possible):
        yield event.ref, event.stated
