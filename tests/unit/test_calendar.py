"""Calendar months, clamped to the month's end."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhircryo.calendar import add_days, add_months, month_span, year_span


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2016, 8, 31), 6, date(2017, 2, 28)),
        (date(2015, 8, 31), 6, date(2016, 2, 29)),
        (date(2015, 8, 30), 6, date(2016, 2, 29)),
        (date(2015, 8, 29), 6, date(2016, 2, 29)),
        (date(2015, 8, 28), 6, date(2016, 2, 28)),
        (date(2016, 2, 29), 12, date(2017, 2, 28)),
        (date(2016, 2, 29), 48, date(2020, 2, 29)),
        (date(2096, 2, 29), 48, date(2100, 2, 28)),
        (date(2015, 2, 28), 12, date(2016, 2, 28)),
        (date(2016, 1, 31), 1, date(2016, 2, 29)),
        (date(2016, 1, 31), 3, date(2016, 4, 30)),
        (date(2016, 3, 31), -1, date(2016, 2, 29)),
        (date(2016, 5, 31), -3, date(2016, 2, 29)),
        (date(2016, 2, 28), -3, date(2015, 11, 28)),
        (date(2016, 12, 15), 1, date(2017, 1, 15)),
        (date(2016, 1, 15), -1, date(2015, 12, 15)),
        (date(2016, 11, 30), 15, date(2018, 2, 28)),
        (date(2016, 1, 31), 0, date(2016, 1, 31)),
    ],
)
def test_months_are_clamped(day, months, expected):
    assert add_months(day, months) == expected


def _step_by_step(day: date, months: int) -> date:
    """One month after another by counting days; the day of the month is put back at the end."""
    first = day.replace(day=1)
    for _ in range(abs(months)):
        first = (first + timedelta(days=31 if months > 0 else -1)).replace(day=1)
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return min(first + timedelta(days=day.day - 1), last)


@given(st.dates(date(1800, 1, 1), date(2200, 12, 31)), st.integers(-120, 120))
def test_months_agree_with_counting_days(day, months):
    assert add_months(day, months) == _step_by_step(day, months)


@given(st.dates(date(1900, 1, 1), date(2100, 12, 31)), st.integers(-50, 50), st.integers(0, 50))
def test_more_months_are_never_earlier(day, months, more):
    assert add_months(day, months) <= add_months(day, months + more)


@given(st.dates(date(1900, 1, 1), date(2100, 12, 31)), st.integers(-1000, 1000))
def test_days_go_there_and_back(day, days):
    assert add_days(add_days(day, days), -days) == day


@given(st.dates(date(1, 1, 1), date(9999, 12, 31)))
def test_spans_hold_exactly_their_days(day):
    month = month_span(day.year, day.month)
    year = year_span(day.year)
    assert month.first.day == 1
    assert month.first <= day <= month.last
    assert month.last == date.max or (month.last + timedelta(days=1)).day == 1
    assert (month.last - month.first).days < 31
    assert year.first <= month.first
    assert month.last <= year.last
    assert (year.last - year.first).days in (364, 365)
