"""A patient's row in the table of patients: endpoints as columns, days from index as dates."""

from datetime import date

from fhircryo.calendar import add_months
from fhircryo.endpoints.catalogue import METASTASIS, PROM_CHANGE, PROM_SCORE
from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.endpoints.prom import Window, windows
from fhircryo.endpoints.salvage import first_therapy
from fhircryo.endpoints.timeline import Timeline
from fhircryo.mapping.protocol import BASELINE, Protocol
from fhircryo.record.items import PatientRecord, Reason
from fhircryo.research.cells import Row, as_float, days_of
from fhircryo.research.columns import OLDEST, expected_column, score_column, within_column
from fhircryo.research.endpoint_columns import endpoint_cells
from fhircryo.research.table import PATIENT


def patient_row(computed: PatientEndpoints, protocol: Protocol, *, identified: bool) -> Row:
    """The row of a patient; unless it is identified, patients of 90 and older have the age 90."""
    line = computed.line
    row: Row = {
        PATIENT: line.record.patient,
        "index_date": line.d0,
        "resource": line.index.ref,
        "age_years": _age(line.record, line.d0, oldest=None if identified else OLDEST),
    }
    row |= _baseline_psa(computed) | _salvage_therapy(computed)
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
            row |= endpoint_cells(result, line.d0)
    row |= _metastases_within(computed, protocol)
    points = windows(protocol, line.d0)
    for window in points:
        expected = window.name in answered or _is_expected(line, window)
        row[expected_column(window.name)] = expected
    _add_score_reasons(row, line, points)
    return row


def _baseline_psa(computed: PatientEndpoints) -> Row:
    baseline = computed.course.psa.baseline
    if baseline is None or baseline.value is None:
        return {}
    return {
        "baseline_psa": float(baseline.value),
        "baseline_psa_comparator": baseline.comparator or None,
        "baseline_psa_days": (baseline.when.first - computed.line.d0).days,
    }


def _salvage_therapy(computed: PatientEndpoints) -> Row:
    therapy = first_therapy(computed.course.therapies)
    if therapy is None or not therapy.when.precise:
        return {"salvage_therapy": therapy is not None}
    days = (therapy.when.first - computed.line.d0).days
    return {"salvage_therapy": True, "salvage_therapy_days": days}


def _metastases_within(computed: PatientEndpoints, protocol: Protocol) -> Row:
    """Whether a metastasis is dated within each of the periods that the publication reports."""
    row: Row = {}
    for published in protocol.published:
        if published.months is None:
            continue
        limit = add_months(computed.line.d0, published.months)
        for result in computed.results:
            if result.endpoint is METASTASIS and result.value is not None:
                within = result.value is True and (result.end or result.start) <= limit
                row[within_column(published.months)] = within
    return row


def _age(record: PatientRecord, d0: date, *, oldest: int | None) -> int | None:
    """Age at D0 in whole years; None if the date of birth is missing or allows two ages.

    ``oldest``: the age that stands for itself and every greater one.
    """
    everyone = [record.facts, *record.former]
    births = (facts.born for facts in everyone if facts is not None and facts.born is not None)
    born = next(births, None)
    if born is None or born.last > d0:
        return None
    youngest, eldest = _years(born.last, d0), _years(born.first, d0)
    if oldest is not None:
        youngest, eldest = min(youngest, oldest), min(eldest, oldest)
    return youngest if youngest == eldest else None


def _years(born: date, day: date) -> int:
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def _is_expected(line: Timeline, window: Window) -> bool:
    """Whether the time point's window is past and the patient was alive at its target day."""
    if window.name == BASELINE:
        return True
    if line.as_of <= window.last:
        return False
    return line.died is None or line.died.first > window.target


def _add_score_reasons(row: Row, line: Timeline, points: list[Window]) -> None:
    """Where a time point has responses but no score, add the reason of the nearest response."""
    nearest: dict[str, tuple[int, date, str, Reason]] = {}
    death = line.day_of_death
    last = line.as_of if death is None else min(line.as_of, death)
    for response in line.record.responses:
        day = response.when.first
        window = next((point for point in points if point.first <= day <= point.last), None)
        if window is None or day > last:
            continue
        for score in response.scores:
            name = score_column(score.instrument, window.name)
            if score.problem is None or name in row:
                continue
            distance = abs((day - window.target).days)
            candidate = (distance, day, response.ref, score.problem)
            nearest[name] = min(nearest.get(name, candidate), candidate)
    for name, (_, _, _, reason) in nearest.items():
        row[f"{name}_reason"] = reason
