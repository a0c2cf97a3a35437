"""The days on which the passing of time may change an endpoint, by the protocol's limits."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from fhircryo.calendar import Span, add_months
from fhircryo.endpoints.due import next_due
from fhircryo.mapping.load import load_protocol
from fhircryo.record.items import (
    AdverseEvent,
    Lacking,
    PatientFacts,
    PatientRecord,
    PsaResult,
    Therapy,
    TherapyKind,
    Treatment,
)

D0 = date(2016, 1, 10)
PROTOCOL = load_protocol()


def on(text: str) -> Span:
    day = date.fromisoformat(text)
    return Span(day, day)


def treated(**parts: list) -> PatientRecord:
    index = Treatment(
        ref="Procedure/x",
        patient="p1",
        code="c",
        when=Span(D0, D0),
        completed=True,
        successful=True,
    )
    return PatientRecord("p1", treatments=[index], **parts)


def psa(day: str) -> PsaResult:
    return PsaResult(
        ref=f"Observation/{day}",
        patient="p1",
        code="c",
        when=on(day),
        rank=0,
        value=Decimal(1),
        comparator="",
    )


def hormone(when: Span | None, end: Span | None = None) -> Therapy:
    return Therapy(
        ref="MedicationRequest/m",
        patient="p1",
        code="c",
        when=when,
        kind=TherapyKind.HORMONE,
        end=end,
    )


def all_due(record: PatientRecord, protocol=PROTOCOL) -> set[date]:
    found, day = set(), D0 - timedelta(days=1)
    while (due := next_due(record, protocol, day)) is not None:
        found.add(due)
        day = due
    return found


def days_after(days: int, start: date = D0) -> date:
    return start + timedelta(days=days)


@pytest.mark.parametrize(
    "day",
    [
        D0,
        days_after(1),  # the index treatment's last day
        days_after(28),  # the PSA series begins
        days_after(30),  # a local recurrence recorded until then is the indication
        days_after(90),  # complications without a suspect
        *(add_months(D0, months) for months in (4, 6, 8, 9, 12, 15)),
    ],
)
def test_limits_after_the_index_procedure(day):
    due = all_due(treated())
    assert {day, days_after(1, day)} <= due


def test_the_days_are_few():
    assert len(all_due(treated())) < 30


def test_limits_follow_the_protocol():
    due = all_due(treated(), load_protocol("oishi-2019"))
    assert {add_months(D0, 24), add_months(D0, 30)} <= due


def test_a_failing_psa_may_be_confirmed_later():
    rules = PROTOCOL.biochemical_failure.model_copy(update={"confirm_days": 61})
    confirmed = PROTOCOL.model_copy(update={"biochemical_failure": rules})
    day = date(2017, 5, 17)
    assert days_after(61, day) in all_due(treated(psa=[psa("2017-05-17")]), confirmed)
    assert days_after(61, day) not in all_due(treated(psa=[psa("2017-05-17")]))


def test_the_gap_before_a_death_counts_from_every_contact():
    assert date(2018, 5, 17) in all_due(treated(psa=[psa("2017-05-17")]))


def test_hormone_therapy_goes_on_after_its_end():
    therapy = hormone(on("2016-01-02"), on("2016-03-03"))
    due = all_due(treated(therapies=[therapy]))
    assert date(2016, 3, 3) in due
    assert days_after(270, date(2016, 3, 3)) in due
    assert days_after(270, date(2016, 1, 2)) in due
    assert all_due(treated(therapies=[hormone(None)])) == all_due(treated())


def test_a_date_of_recording_and_the_ends_of_an_interval_count():
    event = AdverseEvent(
        ref="AdverseEvent/e",
        patient="p1",
        code="c",
        when=None,
        has_suspects=False,
        suspects=(),
        grades=(),
        recorded=on("2016-02-22"),
    )
    vague = Therapy(
        ref="Procedure/t",
        patient="p1",
        code="c",
        when=Span(date(2017, 7, 1), date(2017, 7, 31)),
    )
    due = all_due(treated(adverse_events=[event], therapies=[vague]))
    assert {date(2016, 2, 22), date(2017, 7, 1), date(2017, 7, 31), date(2017, 8, 1)} <= due


def facts(died: Span | None = None, *, undated: bool = False) -> PatientFacts:
    return PatientFacts(ref="Patient/p1", patient="p1", code="", died=died, died_undated=undated)


def test_a_death_on_an_unknown_day_lies_before_a_later_day_every_day():
    record = treated()
    record.facts = facts(undated=True)
    late = date(2030, 1, 1)
    assert next_due(record, PROTOCOL, late) == date(2030, 1, 2)
    assert next_due(record, PROTOCOL, days_after(-5)) == D0
    merged = treated(former=[facts(undated=True)])
    assert next_due(merged, PROTOCOL, late) == date(2030, 1, 2)


def test_survival_of_the_living_grows_daily_where_every_death_is_known():
    complete, late = Lacking(deaths=False), date(2030, 1, 1)
    record = treated()
    assert next_due(record, PROTOCOL, late, complete) == date(2030, 1, 2)
    assert next_due(record, PROTOCOL, late) is None
    record.facts = facts(on("2029-12-31"))
    assert next_due(record, PROTOCOL, late, complete) == date(2030, 12, 31)
    record.facts = facts(on("2015-12-31"))  # before the treatment: an error of the record
    assert next_due(record, PROTOCOL, late, complete) == date(2030, 1, 2)
    record.facts = facts(on("2031-01-01"))
    assert next_due(record, PROTOCOL, late, complete) == date(2030, 1, 2)


def test_the_end_of_the_calendar():
    record = treated(psa=[psa("9999-12-31")])
    assert next_due(record, PROTOCOL, date(9999, 12, 30)) == date.max
    assert next_due(record, PROTOCOL, date.max) is None
    record.facts = facts(undated=True)
    assert next_due(record, PROTOCOL, date.max) is None
