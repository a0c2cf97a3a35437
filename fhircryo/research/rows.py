"""A patient's rows in the tables that have more than one of him."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction

from fhircryo.calendar import Span
from fhircryo.endpoints.catalogue import ValueType
from fhircryo.endpoints.complications import Complication
from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.endpoints.prom import windows
from fhircryo.endpoints.psa import SeriesPoint
from fhircryo.endpoints.recurrence import Event
from fhircryo.endpoints.result import Part, Result, Role
from fhircryo.endpoints.salvage import first_therapy
from fhircryo.mapping.schema import Scale
from fhircryo.record.items import Kind, PsaResult, Reason, Score
from fhircryo.research.columns import (
    BASELINE_PSA,
    FINAL,
    FOLLOW_UP,
    NO,
    PATIENT,
    PRELIMINARY,
    YES,
    Attribution,
    Certainty,
    snake,
    unit_of,
)
from fhircryo.research.patient_row import Row, as_float, days_of, part_of


def endpoint_rows(computed: PatientEndpoints, *, identified: bool) -> Iterator[Row]:
    """A row per endpoint; dates and what it stands on only where ``identified``."""
    line = computed.line
    for result in computed.results:
        number = as_float(result.value)
        row: Row = {
            PATIENT: line.record.patient,
            "endpoint": result.code,
            "time_point": result.time_point or FOLLOW_UP,
            "value": _text(result),
            "number": number,
            "unit": None if number is None else unit_of(result.endpoint) or None,
            "event": part_of(result, Part.EVENT)
            if result.endpoint.value_type is ValueType.DAYS
            else None,
            "days": days_of(result, line.d0),
            "status": FINAL if result.final else PRELIMINARY,
            "absent": result.absent,
            "reason": result.reason,
        }
        if identified:
            row["date_first"], row["date_last"] = result.start, result.end
            row["resource"] = " ".join(evidence.ref for evidence in result.evidence) or None
        yield row


def _text(result: Result) -> str | None:
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
    therapy = first_therapy(computed.therapies)
    begun = date.max if therapy is None else therapy.when.first
    number = 0
    baseline = course.baseline
    if baseline is not None and baseline.value is not None:
        number += 1
        found = _psa(baseline, number, line.record.patient, line.d0, begun)
        yield found | {
            "psa": float(baseline.value),
            "judgement": BASELINE_PSA,
            "failure": False,
        }
    for point in course.points:
        number += 1
        found = _psa(point.result, number, line.record.patient, line.d0, begun)
        yield found | _judged(point, failure=point is course.failure)


def _psa(result: PsaResult, number: int, patient: str, d0: date, begun: date) -> Row:
    day = result.when.first
    return {
        PATIENT: patient,
        "number": number,
        "days": (day - d0).days,
        "comparator": result.comparator or None,
        "after_salvage_therapy": day > begun,
        "date": day,
        "resource": result.ref,
    }


def _judged(point: SeriesPoint, *, failure: bool) -> Row:
    return {
        "psa": float(point.value),
        "judgement": point.judgement,
        "running_nadir": None if point.nadir is None else float(point.nadir),
        "threshold": None if point.threshold is None else float(point.threshold),
        "failure": failure,
    }


def event_rows(computed: PatientEndpoints) -> Iterator[Row]:
    """A row per event: recurrences, therapies, the failure, the death."""
    line = computed.line
    found: list[tuple[Span | None, Kind, Certainty, str]] = []

    def take(events: list[Event], certainty: Certainty) -> None:
        for event in events:
            when = event.when if event.dated else None
            found.append((when, event.kind, certainty, event.ref))

    for events in (computed.events, computed.therapies):
        take(events.precise, Certainty.DAY)
        take(events.intervals, Certainty.INTERVAL)
        take(events.possible, Certainty.POSSIBLE)
        take(events.at_baseline, Certainty.AT_BASELINE)
    failure = computed.course.failure
    if failure is not None:
        day = Span(failure.day, failure.day)
        found.append((day, Kind.BIOCHEMICAL_FAILURE, Certainty.DAY, failure.result.ref))
    if line.died is not None and line.record.facts is not None:
        certainty = Certainty.DAY
        if not line.died.precise:
            after = line.died.first > line.d0
            certainty = Certainty.INTERVAL if after else Certainty.POSSIBLE
        found.append((line.died, Kind.DEATH, certainty, line.record.facts.ref))
    elif line.died_undated and line.record.facts is not None:
        found.append((None, Kind.DEATH, Certainty.POSSIBLE, line.record.facts.ref))
    found.sort(key=lambda one: (*_in_time(one[0]), one[1], one[3]))
    for number, (when, kind, certainty, ref) in enumerate(found, 1):
        row = {PATIENT: line.record.patient, "number": number, "kind": kind, "resource": ref}
        yield row | {"certainty": certainty} | _dated(when, line.d0)


def _in_time(when: Span | None) -> tuple[date, date]:
    return (date.max, date.max) if when is None else (when.first, when.last)


def _dated(when: Span | None, d0: date) -> Row:
    """Days where the day is known, and the dates."""
    if when is None:
        return {}
    days = (when.first - d0).days if when.precise else None
    return {"days": days, "date_first": when.first, "date_last": when.last}


def adverse_event_rows(computed: PatientEndpoints, scales: dict[str, Scale]) -> Iterator[Row]:
    """A row per adverse event, with the worst grade of each scale."""
    line, found = computed.line, computed.complications
    everything = [(Attribution.ATTRIBUTED, one) for one in found.all]
    everything += [
        (Attribution.NOT_ATTRIBUTED if one.possible_reason is None else Attribution.POSSIBLE, one)
        for one in found.others
    ]
    everything.sort(key=lambda pair: (*_in_time(pair[1].when), pair[1].ref))
    events = {event.ref for event in line.record.adverse_events}
    for number, (attribution, one) in enumerate(everything, 1):
        row = {
            PATIENT: line.record.patient,
            "number": number,
            "attribution": attribution,
            "only_graded": one.ref not in events,
            "resource": one.ref,
        }
        yield row | _dated(one.when, line.d0) | _grades(one, scales)


def _grades(complication: Complication, scales: dict[str, Scale]) -> Row:
    found: Row = {}
    for name, scale in scales.items():
        grades = [grade for other, grade in complication.grades if other == name]
        found[snake(name)] = max(grades, key=scale.order.index, default=None)
    return found


def questionnaire_rows(computed: PatientEndpoints) -> Iterator[Row]:
    """A row per instrument and response that exists by as-of; why a time point took none."""
    line = computed.line
    taken: dict[tuple[str, str], str] = {}
    for result in computed.results:
        for evidence in result.evidence:
            if evidence.role is Role.SCORE:
                taken[evidence.ref, result.instrument] = result.time_point
    told = {notice.ref: notice.reason for notice in line.issues if not notice.used}
    points = windows(line.protocol, line.d0)
    number = 0
    answers = sorted(line.record.responses, key=lambda one: (*one.when.order, one.ref))
    for response in answers:
        reason = told.get(response.ref)
        if reason in (Reason.AFTER_AS_OF, Reason.AFTER_DEATH):
            continue
        day = response.when.first
        within = any(window.first <= day <= window.last for window in points)
        for score in sorted(response.scores, key=lambda one: one.instrument):
            number += 1
            point = taken.get((response.ref, score.instrument))
            yield {
                PATIENT: line.record.patient,
                "number": number,
                "instrument": score.instrument,
                "days": (day - line.d0).days,
                "score": None if score.problem is not None else as_float(score.value),
                "time_point": point,
                "reason": None if point else _why(score, reason, within=within),
                "score_mismatch": score.mismatch,
                "date": day,
                "resource": response.ref,
            }


def _why(score: Score, told: Reason | None, *, within: bool) -> Reason:
    if score.problem is not None:
        return score.problem
    if told is Reason.SUPERSEDED or within:
        return Reason.SUPERSEDED
    return Reason.OUTSIDE_WINDOW
