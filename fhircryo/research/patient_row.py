"""A patient's row: each endpoint a column, days from index in place of dates."""

from datetime import date
from fractions import Fraction
from typing import Any

from fhircryo.calendar import Span, add_months
from fhircryo.endpoints.catalogue import (
    METASTASIS,
    PROM_CHANGE,
    PROM_SCORE,
    ValueType,
)
from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.endpoints.prom import Window, windows
from fhircryo.endpoints.result import Part, Result, Value
from fhircryo.endpoints.salvage import first_therapy
from fhircryo.endpoints.timeline import Timeline
from fhircryo.mapping.protocol import BASELINE, Protocol
from fhircryo.record.items import PatientRecord, Reason
from fhircryo.research.columns import (
    OLDEST,
    PATIENT,
    expected_column,
    score_column,
    snake,
    within_column,
)

Row = dict[str, Any]


def patient_row(computed: PatientEndpoints, protocol: Protocol, *, identified: bool) -> Row:
    """The row of a patient; a column that is not in it is empty."""
    line = computed.line
    row: Row = {
        PATIENT: line.record.patient,
        "index_date": line.d0,
        "resource": line.index.ref,
        "age_years": _age(line.record, line.d0, oldest=None if identified else OLDEST),
    }
    baseline = computed.course.baseline
    if baseline is not None and baseline.value is not None:
        row["baseline_psa"] = float(baseline.value)
        row["baseline_psa_comparator"] = baseline.comparator or None
        row["baseline_psa_days"] = (baseline.when.first - line.d0).days
    therapy = first_therapy(computed.therapies)
    row["salvage_therapy"] = therapy is not None
    if therapy is not None and therapy.when.precise:
        row["salvage_therapy_days"] = (therapy.when.first - line.d0).days
    answered: set[str] = set()
    for result in computed.results:
        if result.endpoint is PROM_SCORE:
            name = score_column(result.instrument, result.time_point)
            row[name] = as_float(result.value)
            row[f"{name}_days"] = days_of(result, line.d0)
            answered.add(result.time_point)
        elif result.endpoint is PROM_CHANGE:
            name = score_column(result.instrument, result.time_point, change=True)
            row[name] = as_float(result.value)
        else:
            _put(row, result, line.d0)
    _put_metastases(row, computed, protocol)
    points = windows(protocol, line.d0)
    for window in points:
        due = window.name in answered or _is_expected(line, window)
        row[expected_column(window.name)] = due
    _put_why_no_score(row, line, points)
    return row


def days_of(result: Result, d0: date) -> int | None:
    """The day that a result is dated by, from D0; None where it is a period.

    A period ends with a month, a year or as-of: its days would tell when D0 was.
    """
    if result.period or result.end is None or result.start != result.end:
        return None
    return (result.start - d0).days


def as_float(value: Value | None) -> float | None:
    """A number as tables have it; None for what is none."""
    if value is None or isinstance(value, bool | str):
        return None
    if isinstance(value, Fraction):
        return value.numerator / value.denominator
    return float(value)


def _put(row: Row, result: Result, d0: date) -> None:
    name = snake(result.endpoint.key)
    kind = result.endpoint.value_type
    value = result.value
    row[name] = as_float(value) if kind is ValueType.PSA else value
    row[f"{name}_reason"] = result.reason
    if kind is ValueType.DAYS:
        row[f"{name}_event"] = part_of(result, Part.EVENT)
    elif kind is ValueType.GRADE:
        if value is not None:
            row[f"{name}_ungraded"] = part_of(result, Part.UNGRADED) or 0
    elif kind is not ValueType.COUNT:
        row[f"{name}_days"] = days_of(result, d0)


def part_of(result: Result, part: Part) -> Value | Span | None:
    """The value of a component; None without it."""
    return next((one.value for one in result.components if one.part is part), None)


def _put_metastases(row: Row, computed: PatientEndpoints, protocol: Protocol) -> None:
    """Whether a metastasis came within the times that the protocol's publication counts."""
    for published in protocol.published:
        if published.months is None:
            continue
        limit = add_months(computed.line.d0, published.months)
        for result in computed.results:
            if result.endpoint is METASTASIS and result.value is not None:
                within = result.value is True and (result.end or result.start) <= limit
                row[within_column(published.months)] = within


def _age(record: PatientRecord, d0: date, *, oldest: int | None) -> int | None:
    """Age at D0 in whole years; None where the date of birth does not tell."""
    everyone = [record.facts, *record.former]
    born = next((one.born for one in everyone if one is not None and one.born is not None), None)
    if born is None or born.last > d0:
        return None
    youngest, eldest = _years(born.last, d0), _years(born.first, d0)
    if oldest is not None:
        youngest, eldest = min(youngest, oldest), min(eldest, oldest)
    return youngest if youngest == eldest else None


def _years(born: date, day: date) -> int:
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def _is_expected(line: Timeline, window: Window) -> bool:
    """Whether he was alive at a time point that is past."""
    if window.name == BASELINE:
        return True
    if line.as_of <= window.last:
        return False
    return line.died is None or line.died.first > window.target


def _put_why_no_score(row: Row, line: Timeline, points: list[Window]) -> None:
    """The problem of the response nearest the target, where a time point has only such."""
    found: dict[str, tuple[int, date, str, Reason]] = {}
    death = line.day_of_death
    last = line.as_of if death is None else min(line.as_of, death)
    for response in line.record.responses:
        day = response.when.first
        window = next((one for one in points if one.first <= day <= one.last), None)
        if window is None or day > last:
            continue
        for score in response.scores:
            name = score_column(score.instrument, window.name)
            if score.problem is None or name in row:
                continue
            distance = abs((day - window.target).days)
            problem = (distance, day, response.ref, score.problem)
            found[name] = min(found.get(name, problem), problem)
    for name, problem in found.items():
        row[f"{name}_reason"] = problem[3]
