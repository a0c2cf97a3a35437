"""A patient's row in the table of patients: endpoints as columns, days from index as dates."""

from datetime import date

from fhircryo.calendar import add_months
from fhircryo.endpoints.baseline import birth_year
from fhircryo.endpoints.by_confirmation import confirmed_failure
from fhircryo.endpoints.by_salvage_rule import disease_free_by_rule
from fhircryo.endpoints.catalogue import METASTASIS, PROM_CHANGE, PROM_SCORE, PSA_NADIR
from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.endpoints.prom import Window, windows
from fhircryo.endpoints.result import ComponentKey, Result
from fhircryo.endpoints.salvage import first_therapy
from fhircryo.endpoints.time_to_event import COMPETING, ended_by_death
from fhircryo.endpoints.timeline import Timeline
from fhircryo.mapping.protocol import BASELINE, Protocol
from fhircryo.record.items import Reason
from fhircryo.research.baseline_columns import baseline_cells
from fhircryo.research.cells import Row, as_float, component_value, days_of, marks_of
from fhircryo.research.endpoint_columns import (
    CONFIRMED_FAILURE,
    death_column,
    endpoint_cells,
    rule_column,
)
from fhircryo.research.patient_columns import (
    BIRTH_YEAR,
    INDEX_DATE,
    LAST_CONTACT,
    PSA_RESPONSE,
    expected_column,
    mark_column,
    score_column,
    within_column,
)
from fhircryo.research.table import PATIENT
from fhircryo.research.table_options import INDEX_YEAR


def patient_row(computed: PatientEndpoints, protocol: Protocol, *, identified: bool) -> Row:
    """The row of a patient; unless it is identified, patients of 90 and older have the age 90."""
    line = computed.line
    row: Row = {
        PATIENT: line.record.patient,
        INDEX_DATE: line.d0,
        INDEX_YEAR: line.d0.year,
        BIRTH_YEAR: birth_year(line),
        "resource": line.index.ref,
    }
    contact = computed.course.contact
    if contact is not None:
        row[LAST_CONTACT] = (contact.day - line.d0).days
    row |= baseline_cells(computed, identified=identified) | _salvage_therapy(computed)
    row |= _disease_free_by_rule(computed)
    confirmed = confirmed_failure(computed.course)
    row |= {CONFIRMED_FAILURE: confirmed.value, f"{CONFIRMED_FAILURE}_reason": confirmed.reason}
    answered: set[str] = set()
    for result in computed.results:
        if result.endpoint in (PROM_SCORE, PROM_CHANGE):
            row |= _score(result, line)
            if result.endpoint is PROM_SCORE:
                answered.add(result.time_point)
        else:
            row |= endpoint_cells(result, line.d0)
            if result.endpoint is PSA_NADIR:
                row[PSA_RESPONSE] = component_value(result, ComponentKey.PSA_RESPONSE)
            elif result.endpoint in COMPETING:
                row[death_column(result.endpoint)] = ended_by_death(result, computed.course)
    row |= _metastases_within(computed, protocol)
    points = windows(protocol, line.d0)
    for window in points:
        expected = window.name in answered or _is_expected(line, window)
        row[expected_column(window.name)] = expected
    _add_score_reasons(row, line, points)
    return row


def _score(result: Result, line: Timeline) -> Row:
    """The cells of a score, or of its change since baseline."""
    change = result.endpoint is PROM_CHANGE
    name = score_column(result.instrument, result.time_point, change=change)
    row: Row = {name: as_float(result.value)}
    if not change:
        row[f"{name}_days"] = days_of(result, line.d0)
    for mark in marks_of(result):
        row[mark_column(result.instrument, result.time_point, mark, change=change)] = True
    return row


def _disease_free_by_rule(computed: PatientEndpoints) -> Row:
    row: Row = {}
    for rule, result in disease_free_by_rule(computed.course).items():
        name = rule_column(rule)
        row[name] = result.value
        row[f"{name}_reason"] = result.reason
    return row


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
