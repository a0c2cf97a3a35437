"""Disease-free at the landmark (12 months): the rules in order, of which the first applies."""

from datetime import date

from fhircryo.calendar import add_days, add_months
from fhircryo.endpoints.catalogue import DISEASE_FREE
from fhircryo.endpoints.events import Event, first_reason
from fhircryo.endpoints.failure import psa_evidence
from fhircryo.endpoints.patient_course import PatientCourse
from fhircryo.endpoints.psa import SeriesPoint
from fhircryo.endpoints.result import Absent, Evidence, Reason, Result, Role, absent


def disease_free(course: PatientCourse) -> Result:
    """Return ``disease-free-12-months``: yes, no with the date of the event, or absent."""
    line, events = course.line, course.disease
    landmark = add_months(line.d0, course.protocol.disease_free.landmark_months)

    def without_value(
        reason: Reason,
        *evidence: Evidence,
        kind: Absent = Absent.UNKNOWN,
        final: bool = False,
    ) -> Result:
        return absent(DISEASE_FREE, (line.d0, landmark), kind, reason, evidence, final=final)

    if events.at_baseline:
        found = (event.evidence(Role.BASELINE_EVENT) for event in events.at_baseline)
        kind, reason = Absent.NOT_APPLICABLE, Reason.METASTATIC_AT_BASELINE
        return without_value(reason, *found, kind=kind, final=True)
    known = events.known
    if course.death is not None and course.death.of_prostate_cancer:
        known.append(course.death.event())
    first = _first_event(known, landmark)
    if first is not None:
        return _not_disease_free(course, first)
    death = course.death
    if death is not None and death.when.last <= landmark:
        return without_value(Reason.DIED_BEFORE_LANDMARK, *death.evidence(), final=True)
    if line.as_of < landmark:
        return without_value(Reason.LANDMARK_NOT_REACHED, kind=Absent.TEMP_UNKNOWN)
    uncertain = _uncertain_events(course, landmark)
    if uncertain:
        vague = (event.evidence(Role.VAGUE_EVENT) for event in uncertain)
        return without_value(first_reason(uncertain), *vague)
    clear = _clear_psa(course, landmark)
    if clear is None:
        return without_value(Reason.INSUFFICIENT_PSA)
    if course.lacks_response:
        return without_value(Reason.NO_PSA_RESPONSE, psa_evidence(Role.CLEAR_PSA, clear))
    if course.lacking.conditions or course.lacks_therapies:
        return without_value(Reason.SOURCE_LACKS_TYPE)
    return Result(
        DISEASE_FREE,
        line.d0,
        landmark,
        final=True,
        value=True,
        period=True,
        evidence=(psa_evidence(Role.CLEAR_PSA, clear),),
    )


def _not_disease_free(course: PatientCourse, first: Event) -> Result:
    """Return no, dated by the first event."""
    death = course.death
    is_death = death is not None and first.ref == death.ref
    return Result(
        DISEASE_FREE,
        first.when.first,
        first.when.last,
        final=first.when.precise,
        value=False,
        period=not first.when.precise,
        evidence=death.evidence() if death is not None and is_death else (first.evidence(),),
    )


def _first_event(known: list[Event], landmark: date) -> Event | None:
    """Return the first event up to the landmark: the first precise one, else an interval event."""
    by_then = [event for event in known if event.when.last <= landmark]
    precise = [event for event in by_then if event.when.precise]
    return min(
        precise or by_then,
        key=lambda event: (event.when.first, event.when.last, event.kind, event.ref),
        default=None,
    )


def _uncertain_events(course: PatientCourse, landmark: date) -> list[Event]:
    """Return what may have happened by the landmark.

    These are possible events that are first possible by then, and interval events and a death whose
    interval begins by then and ends after it.
    """
    events = course.disease
    earliest = add_days(course.line.d0, 1)
    possible = [*events.possible]
    if course.protocol.salvage_therapy == "censor":
        possible += course.doubtful_therapies
    uncertain = [one for one in possible if max(one.when.first, earliest) <= landmark]
    intervals = [*events.intervals]
    if course.death is not None and not course.death.when.precise:
        intervals.append(course.death.event())
    return uncertain + [one for one in intervals if one.when.first <= landmark < one.when.last]


def _clear_psa(course: PatientCourse, landmark: date) -> SeriesPoint | None:
    """Return the first clear PSA that shows the state at the landmark."""
    months = course.protocol.disease_free.psa_months_before
    earliest = add_months(landmark, -months)
    return next((point for point in course.psa.clear if point.day >= earliest), None)
