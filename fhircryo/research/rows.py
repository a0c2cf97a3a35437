"""A patient's rows in the tables that can have more than one row per patient."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from fhircryo.calendar import Span
from fhircryo.endpoints.complications import Complication
from fhircryo.endpoints.events import ClinicalEvents, Event
from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.endpoints.prom import windows
from fhircryo.endpoints.psa import SeriesPoint
from fhircryo.endpoints.result import ComponentKey, Result, Role
from fhircryo.endpoints.salvage import first_therapy
from fhircryo.endpoints.timeline import Timeline
from fhircryo.mapping.grade_schema import (
    Scale,
)
from fhircryo.record.items import PsaResult, Reason, Score
from fhircryo.research.cells import Row, as_float, days_of, marks_of
from fhircryo.research.columns import (
    BASELINE_PSA,
    FINAL,
    FOLLOW_UP,
    NO,
    OTHER_KIND,
    PRELIMINARY,
    YES,
    Attribution,
    Certainty,
)
from fhircryo.research.table import PATIENT, snake


def endpoint_rows(computed: PatientEndpoints, *, identified: bool) -> Iterator[Row]:
    """A row per endpoint; dates and resource ids only if ``identified``."""
    line = computed.line
    patient, d0 = line.record.patient, line.d0
    for result in computed.results:
        number = as_float(result.value)
        value_type = result.endpoint.value_type
        parts = {part.part: part.value for part in result.components}
        row: Row = {
            PATIENT: patient,
            "endpoint": result.code,
            "time_point": result.time_point or FOLLOW_UP,
            "value": _text(result),
            "number": number,
            "high": result.high,
            "comparator": result.comparator or None,
            "unit": None if number is None else value_type.unit or None,
            "event": parts.get(ComponentKey.EVENT) if value_type.is_time_to_event else None,
            "days": days_of(result, d0),
            "status": FINAL if result.final else PRELIMINARY,
            "absent": result.absent,
            "reason": result.reason,
            "hormone_therapy_at_index": ComponentKey.HORMONE_THERAPY_AT_INDEX in parts,
            "after_salvage_therapy": ComponentKey.SALVAGE_THERAPY in parts,
            "marks": ", ".join(marks_of(result)) or None if parts else None,
        }
        if identified:
            row["date_first"], row["date_last"] = result.start, result.end
            row["resource"] = " ".join(evidence.ref for evidence in result.evidence) or None
        yield row


def _text(result: Result) -> str | None:
    """The value as text; an exact fraction as the nearest float."""
    value = result.value
    if value is None:
        return None
    if isinstance(value, bool):
        return YES if value else NO
    if isinstance(value, Fraction):
        return repr(as_float(value))
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return str(value)


def psa_rows(computed: PatientEndpoints) -> Iterator[Row]:
    """A row per PSA result that is used, the baseline first."""
    course, line = computed.course, computed.line
    therapy = first_therapy(course.therapies)
    begun = date.max if therapy is None else therapy.when.first
    baseline = course.psa.baseline
    number = 0
    if baseline is not None and baseline.value is not None:
        number += 1
        yield (
            {"number": number}
            | _psa_result(baseline, line, begun)
            | {
                "psa": float(baseline.value),
                "judgement": BASELINE_PSA,
                "failure": False,
            }
        )
    for point in course.psa.points:
        number += 1
        row = {"number": number} | _psa_result(point.result, line, begun)
        yield row | _judgement(point, failure=point is course.psa.failure)


def _psa_result(result: PsaResult, line: Timeline, begun: date) -> Row:
    """The cells of a result; ``begun``: the first day that salvage therapy may have begun."""
    day = result.when.first
    return {
        PATIENT: line.record.patient,
        "days": (day - line.d0).days,
        "comparator": result.comparator or None,
        "after_salvage_therapy": day > begun,
        "date": day,
        "resource": result.ref,
    }


def _judgement(point: SeriesPoint, *, failure: bool) -> Row:
    return {
        "psa": float(point.value),
        "judgement": point.judgement,
        "running_nadir": None if point.nadir is None else float(point.nadir),
        "threshold": None if point.threshold is None else float(point.threshold),
        "failure": failure,
    }


class _DatedEvent(NamedTuple):
    """An event of the table; ``when`` is None if nothing is known of its date."""

    when: Span | None
    event: Event
    certainty: Certainty


def event_rows(computed: PatientEndpoints) -> Iterator[Row]:
    """A row per event: recurrences, therapies, failures and the death, in order of time."""
    line = computed.line
    found = list(_events(computed))
    found.sort(key=lambda one: (*_in_time(one.when), one.event.kind, one.event.ref))
    for number, (when, event, certainty) in enumerate(found, 1):
        yield {
            PATIENT: line.record.patient,
            "number": number,
            "kind": event.kind,
            "resource": event.ref,
            "certainty": certainty,
            "reason": event.reason if certainty is Certainty.POSSIBLE else None,
        } | _dated(when, line.d0)


def _events(computed: PatientEndpoints) -> Iterator[_DatedEvent]:
    course = computed.course
    deaths = ClinicalEvents([], [], [], [])
    if course.death is not None:
        deaths.add(course.death.event())

    def dated(events: list[Event], certainty: Certainty) -> Iterator[_DatedEvent]:
        for event in events:
            yield _DatedEvent(event.when if event.dated else None, event, certainty)

    for events in (course.events, course.failures, course.therapies, deaths):
        yield from dated(events.precise, Certainty.DAY)
        yield from dated(events.intervals, Certainty.INTERVAL)
        yield from dated(events.possible, Certainty.POSSIBLE)
        yield from dated(events.at_baseline, Certainty.AT_BASELINE)


def _in_time(when: Span | None) -> tuple[date, date]:
    """The key that sorts by date, the undated last."""
    return (date.max, date.max) if when is None else (when.first, when.last)


def _dated(when: Span | None, d0: date) -> Row:
    """The dates, and the days from D0 if the day is known."""
    if when is None:
        return {}
    days = (when.first - d0).days if when.precise else None
    return {"days": days, "date_first": when.first, "date_last": when.last}


def adverse_event_rows(computed: PatientEndpoints, scales: dict[str, Scale]) -> Iterator[Row]:
    """A row per adverse event, with its worst grade of each scale."""
    line, found = computed.line, computed.course.complications
    adverse_events = [(Attribution.ATTRIBUTED, event) for event in found.all]
    adverse_events += [
        (
            Attribution.NOT_ATTRIBUTED if event.possible_reason is None else Attribution.POSSIBLE,
            event,
        )
        for event in found.others
    ]
    adverse_events.sort(key=lambda pair: (*_in_time(pair[1].when), pair[1].ref))
    recorded = {event.ref for event in line.record.adverse_events}
    for number, (attribution, event) in enumerate(adverse_events, 1):
        row = {
            PATIENT: line.record.patient,
            "number": number,
            "attribution": attribution,
            "only_graded": event.ref not in recorded,
            "kinds": ", ".join(event.kinds) or OTHER_KIND,
            "resource": event.ref,
        }
        yield row | _dated(event.when, line.d0) | _worst_grades(event, scales)


def _worst_grades(complication: Complication, scales: dict[str, Scale]) -> Row:
    row: Row = {}
    for name, scale in scales.items():
        grades = [grade for other, grade in complication.grades if other == name]
        row[snake(name)] = max(grades, key=scale.order.index, default=None)
    return row


def questionnaire_rows(computed: PatientEndpoints) -> Iterator[Row]:
    """A row per response and instrument that exists by the as-of date.

    A score that is the score of no time point has the reason in its row.
    """
    line = computed.line
    time_points = {
        (evidence.ref, result.instrument): result.time_point
        for result in computed.results
        for evidence in result.evidence
        if evidence.role is Role.SCORE
    }
    reported = {issue.ref: issue.reason for issue in line.issues if not issue.used}
    points = windows(line.protocol, line.d0)
    number = 0
    responses = sorted(
        line.record.responses, key=lambda response: (*response.when.order, response.ref)
    )
    for response in responses:
        reason = reported.get(response.ref)
        if reason in (Reason.AFTER_AS_OF, Reason.AFTER_DEATH):
            continue
        day = response.when.first
        in_window = any(window.first <= day <= window.last for window in points)
        for score in sorted(response.scores, key=lambda score: score.instrument):
            number += 1
            time_point = time_points.get((response.ref, score.instrument))
            why = None if time_point else _unused_reason(score, reason, in_window=in_window)
            yield {
                PATIENT: line.record.patient,
                "number": number,
                "instrument": score.instrument,
                "days": (day - line.d0).days,
                "score": None if score.problem is not None else as_float(score.value),
                "time_point": time_point,
                "reason": why,
                "marks": ", ".join(score.marks) or None,
                "score_mismatch": score.mismatch,
                "date": day,
                "resource": response.ref,
            }


def _unused_reason(score: Score, reported: Reason | None, *, in_window: bool) -> Reason:
    """Why a score is the score of no time point; ``reported``: the response's own reason."""
    if score.problem is not None:
        return score.problem
    if reported is Reason.SUPERSEDED or in_window:
        return Reason.SUPERSEDED
    return Reason.OUTSIDE_WINDOW
