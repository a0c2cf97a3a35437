"""Disease-free at the landmark (12 months): the rules in order, of which the first applies."""

from datetime import date

from fhircryo.calendar import add_months
from fhircryo.endpoints.catalogue import DISEASE_FREE
from fhircryo.endpoints.failure import failure_event, psa_evidence
from fhircryo.endpoints.psa import PsaCourse
from fhircryo.endpoints.recurrence import ClinicalEvents, Event, uncertainty_reason
from fhircryo.endpoints.result import Absent, Evidence, Reason, Result, Role, absent
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import EventKind, Lacking


def disease_free(
    timeline: Timeline, course: PsaCourse, events: ClinicalEvents, lacking: Lacking
) -> Result:
    """Return ``disease-free-12-months``: yes, no with the date of the event, or absent.

    ``events``: the clinical events, and the salvage therapies that count among them.
    """
    rules = timeline.protocol.disease_free
    landmark = add_months(timeline.d0, rules.landmark_months)
    reached = timeline.as_of >= landmark

    def without_value(
        kind: Absent, reason: Reason, *evidence: Evidence, final: bool = reached
    ) -> Result:
        period = (timeline.d0, landmark)
        return absent(DISEASE_FREE, period, kind, reason, evidence, final=final)

    if events.at_baseline:
        found = (event.evidence(Role.BASELINE_EVENT) for event in events.at_baseline)
        kind, reason = Absent.NOT_APPLICABLE, Reason.METASTATIC_AT_BASELINE
        return without_value(kind, reason, *found, final=True)
    first = _first_event(course, events, landmark)
    if first is not None:
        return _not_disease_free(first, final=reached or first.when.precise)
    died = timeline.died
    if died is not None and died.last <= landmark:
        death = death_evidence(timeline)
        return without_value(Absent.UNKNOWN, Reason.DIED_BEFORE_LANDMARK, death)
    if not reached:
        return without_value(Absent.TEMP_UNKNOWN, Reason.LANDMARK_NOT_REACHED)
    uncertain = _uncertain_events(timeline, events, landmark)
    if uncertain:
        evidence = (event.evidence(Role.VAGUE_EVENT) for event in uncertain)
        return without_value(Absent.UNKNOWN, uncertainty_reason(uncertain), *evidence)
    earliest = add_months(landmark, -rules.psa_months_before)
    clear = next((point for point in course.clear if point.day >= earliest), None)
    if clear is None:
        return without_value(Absent.UNKNOWN, Reason.INSUFFICIENT_PSA)
    if lacking.conditions or lacking.medications:
        return without_value(Absent.UNKNOWN, Reason.SOURCE_LACKS_TYPE)
    return Result(
        DISEASE_FREE,
        timeline.d0,
        landmark,
        final=True,
        value=True,
        period=True,
        evidence=(psa_evidence(Role.CLEAR_PSA, clear),),
    )


def _not_disease_free(first: Event, *, final: bool) -> Result:
    """Return no, dated by the first event."""
    role = Role.FAILING_PSA if first.kind is EventKind.BIOCHEMICAL_FAILURE else Role.EVENT
    return Result(
        DISEASE_FREE,
        first.when.first,
        first.when.last,
        final=final,
        value=False,
        period=not first.when.precise,
        evidence=(first.evidence(role),),
    )


def _first_event(course: PsaCourse, events: ClinicalEvents, landmark: date) -> Event | None:
    """Return the first event up to the landmark: the first precise one, else an interval event."""
    precise = [*failure_event(course), *events.precise]
    precise = [event for event in precise if event.when.first <= landmark]
    if precise:
        return min(precise, key=lambda event: event.when.first)
    return next((event for event in events.intervals if event.when.last <= landmark), None)


def _uncertain_events(timeline: Timeline, events: ClinicalEvents, landmark: date) -> list[Event]:
    """Return the events that may have happened by the landmark.

    These are possible events, and interval events and a death that begin by the landmark.
    """
    uncertain = [*events.possible]
    uncertain += [event for event in events.intervals if event.when.first <= landmark]
    died = timeline.died
    if died is not None and not died.precise and died.first <= landmark:
        uncertain.append(Event(EventKind.DEATH, _patient_ref(timeline), died))
    return uncertain


def death_evidence(timeline: Timeline) -> Evidence:
    """Return the death of the patient as evidence for a result."""
    died = timeline.died
    day = died.first if died is not None and died.precise else None
    return Evidence(Role.DEATH, _patient_ref(timeline), EventKind.DEATH, day)


def _patient_ref(timeline: Timeline) -> str:
    facts = timeline.record.facts
    return facts.ref if facts is not None else f"Patient/{timeline.record.patient}"
