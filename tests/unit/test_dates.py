"""FHIR dates: their precision, their offsets, and what is none."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhircryo.calendar import moment
from fhircryo.errors import UsageError
from fhircryo.fhir.dates import DateReader

AS_WRITTEN = DateReader()
AMSTERDAM = DateReader("Europe/Amsterdam")
NEW_YORK = DateReader("America/New_York")
TIMES = st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001
READERS = pytest.mark.parametrize("reader", [AS_WRITTEN, AMSTERDAM], ids=["unset", "Amsterdam"])


@READERS
@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2016", date(2016, 1, 1), date(2016, 12, 31)),
        ("0001", date(1, 1, 1), date(1, 12, 31)),
        ("9999", date(9999, 1, 1), date(9999, 12, 31)),
        ("2016-01", date(2016, 1, 1), date(2016, 1, 31)),
        ("2016-02", date(2016, 2, 1), date(2016, 2, 29)),
        ("2015-02", date(2015, 2, 1), date(2015, 2, 28)),
        ("1900-02", date(1900, 2, 1), date(1900, 2, 28)),
        ("2000-02", date(2000, 2, 1), date(2000, 2, 29)),
        ("2016-12", date(2016, 12, 1), date(2016, 12, 31)),
        ("9999-12", date(9999, 12, 1), date(9999, 12, 31)),
        ("2016-02-29", date(2016, 2, 29), date(2016, 2, 29)),
        ("9999-12-31", date(9999, 12, 31), date(9999, 12, 31)),
    ],
)
def test_a_date_means_all_days_of_its_precision(reader, text, first, last):
    span = reader.read(text)
    assert (span.first, span.last, span.time) == (first, last, "")
    assert span.precise == (first == last)


@pytest.mark.parametrize(
    ("text", "day", "time"),
    [
        ("2016-01-10T23:30:00Z", date(2016, 1, 10), "23:30:00"),
        ("2016-01-10T23:30:00+00:00", date(2016, 1, 10), "23:30:00"),
        ("2016-01-10T00:10:00+14:00", date(2016, 1, 10), "00:10:00"),
        ("2016-01-10T23:50:00-12:00", date(2016, 1, 10), "23:50:00"),
        ("2016-01-10T23:30:00", date(2016, 1, 10), "23:30:00"),
        ("2016-01-10T08:05Z", date(2016, 1, 10), "08:05:00"),
        ("2016-01-10T08:05", date(2016, 1, 10), "08:05:00"),
        ("2016-01-10T08:05:06.7Z", date(2016, 1, 10), "08:05:06.7"),
        ("2016-01-10T08:05:06.700Z", date(2016, 1, 10), "08:05:06.7"),
        ("2016-01-10T08:05:06.000+01:00", date(2016, 1, 10), "08:05:06"),
        ("2016-01-10T08:05:06.123456789Z", date(2016, 1, 10), "08:05:06.123456789"),
        ("2016-12-31T23:59:60Z", date(2016, 12, 31), "23:59:60"),
        ("2016-12-31T23:59:60.5Z", date(2016, 12, 31), "23:59:60.5"),
    ],
)
def test_without_a_time_zone_a_time_is_taken_as_written(text, day, time):
    for _ in range(2):  # a time read before is remembered
        span = AS_WRITTEN.read(text)
        assert (span.first, span.last, span.time) == (day, day, time)


@pytest.mark.parametrize(
    ("reader", "text", "day", "time"),
    [
        # winter +1, summer +2: the date changes
        (AMSTERDAM, "2016-01-10T22:59:59Z", date(2016, 1, 10), "23:59:59"),
        (AMSTERDAM, "2016-01-10T23:00:00Z", date(2016, 1, 11), "00:00:00"),
        (AMSTERDAM, "2016-07-10T21:59:59Z", date(2016, 7, 10), "23:59:59"),
        (AMSTERDAM, "2016-07-10T22:00:00+00:00", date(2016, 7, 11), "00:00:00"),
        (AMSTERDAM, "2016-02-29T23:30:00Z", date(2016, 3, 1), "00:30:00"),
        (AMSTERDAM, "2015-12-31T23:30:00Z", date(2016, 1, 1), "00:30:00"),
        # the clock goes forward on 27 March and back on 30 October 2016 at 01:00 UTC
        (AMSTERDAM, "2016-03-27T00:59:59Z", date(2016, 3, 27), "01:59:59"),
        (AMSTERDAM, "2016-03-27T01:00:00Z", date(2016, 3, 27), "03:00:00"),
        (AMSTERDAM, "2016-10-30T00:30:00Z", date(2016, 10, 30), "02:30:00"),
        (AMSTERDAM, "2016-10-30T01:30:00Z", date(2016, 10, 30), "02:30:00"),
        (AMSTERDAM, "2016-03-26T23:00:00Z", date(2016, 3, 27), "00:00:00"),
        (AMSTERDAM, "2016-03-27T22:00:00Z", date(2016, 3, 28), "00:00:00"),
        # west of Greenwich: the day before
        (NEW_YORK, "2016-01-10T04:59:59Z", date(2016, 1, 9), "23:59:59"),
        (NEW_YORK, "2016-01-10T05:00:00Z", date(2016, 1, 10), "00:00:00"),
        (NEW_YORK, "2016-07-10T03:59:59Z", date(2016, 7, 9), "23:59:59"),
        (NEW_YORK, "2016-03-01T02:00:00Z", date(2016, 2, 29), "21:00:00"),
        # other offsets, and none, stay as written
        (AMSTERDAM, "2016-01-10T23:30:00+01:00", date(2016, 1, 10), "23:30:00"),
        (AMSTERDAM, "2016-01-10T23:30:00-05:00", date(2016, 1, 10), "23:30:00"),
        (AMSTERDAM, "2016-01-10T23:30:00", date(2016, 1, 10), "23:30:00"),
        (AMSTERDAM, "2016-01-10T23:30:00.250Z", date(2016, 1, 11), "00:30:00.25"),
        (AMSTERDAM, "2016-01-10T23:30Z", date(2016, 1, 11), "00:30:00"),
        # a date without a time has no zone
        (AMSTERDAM, "2016-01-10", date(2016, 1, 10), ""),
        (NEW_YORK, "2016-01-10", date(2016, 1, 10), ""),
    ],
)
def test_a_time_zone_converts_what_is_written_in_utc(reader, text, day, time):
    span = reader.read(text)
    assert (span.first, span.last, span.time) == (day, day, time)


def test_a_leap_second_in_a_zone_stays_in_its_minute():
    span = AMSTERDAM.read("2016-12-31T23:59:60Z")
    assert span.first == span.last == date(2017, 1, 1)
    assert "00:59:59" <= span.time < "00:60"


@READERS
@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "unknown", "201", "20160", "2016-1"),
        *("2016-00", "2016-13", "2016-00-10", "2016-13-01", "2016-01-00", "2016-01-32"),
        *("2016-02-30", "2015-02-29", "1900-02-29", "2016-04-31", "0000", "0000-01"),
        *("0000-01-01", "-2016-01-10", "+2016-01-10", "2016/01/10", "10.01.2016", "01/10/2016"),
        *("2016-W01", "2016-W01-1", "2016-010", "2016-01T08:00:00Z", "2016\n", "2016-01\n"),
        *("2016-02-30T08:00:00Z", "2016-13-01T08:00:00Z", "0000-01-01T00:00:00Z"),
        *("2016-02-30 08:00", "2016-01-10/2016-02-10", "2016-01-10 - 2016-02-10"),
        *("2016-01-101015", "2016-01-10?", "2016-01-10T08:00:00Z on arrival", "2016-01-10T-8:00"),
        *("\uff12\uff10\uff11\uff16", "\u0662\u0660\u0661\u0666-01-10", "2016-0\u0661-10"),
        *("2016-01-10T0\u0668:00:00Z", "2016\u201301\u201310"),
    ],
)
def test_what_states_no_day_is_none(reader, text):
    assert reader.read(text) is None


@READERS
@pytest.mark.parametrize(
    ("text", "time"),
    [
        *((f"2016-01-10{end}", "") for end in ("T", "Z", " ", "\n", "+01:00", " UTC")),
        *((f"2016-01-10T08:00:00{end}", "08:00:00") for end in ("+0100", "+01", "-0500")),
        ("2016-01-10T08:00:00,5Z", ""),
        ("2016-01-10 08:00:00", "08:00:00"),
        ("2016-01-10t08:00:00+01:00", "08:00:00"),
        ("2016-01-10 08:00:00.5 +0100", "08:00:00.5"),
        (" 2016-01-10T08:00:00\n", "08:00:00"),
        ("2016-01-10T24:00:00Z", ""),
        ("2016-01-10T08:60:00Z", ""),
        ("2016-01-10T08:00:61Z", ""),
        ("2016-01-10T8:00:00Z", ""),
        ("2016-01-10T0800", ""),
        ("2016-01-10T08:00:00+15:00", ""),
        ("2016-01-10T08:00:00+01:60", ""),
        ("2016-01-10 10:15 PM", ""),
        ("2016-01-10T08:00:00 CET", ""),
        ("2016-01-10T08:00:00ZZ", ""),
    ],
)
def test_a_clear_day_is_read_whatever_the_form_of_the_time(reader, text, time):
    span = reader.read(text)
    assert (span.first, span.last) == (date(2016, 1, 10), date(2016, 1, 10))
    assert span.time == time


@pytest.mark.parametrize("end", ["z", "+0000", "-0000", "+00", " 00:00", " Z"])
def test_utc_in_another_form_is_converted_like_utc(end):
    assert AMSTERDAM.read(f"2016-01-10T23:30:00{end}") == AMSTERDAM.read("2016-01-10T23:30:00Z")


def test_a_long_text_is_no_date():
    assert AMSTERDAM.read("2016-01-10" + " " * 100_000 + "x") is None


@READERS
@pytest.mark.parametrize("text", ["2016-01-10T08:00:00+14:01", "2016-01-10T08:00:00-14:30"])
def test_no_offset_is_beyond_14_hours(reader, text):
    """The pattern of dateTime in FHIR R4 ends at 14:00; the day is clear all the same."""
    span = reader.read(text)
    assert (span.first, span.last, span.time) == (date(2016, 1, 10), date(2016, 1, 10), "")


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_a_zone_beyond_the_calendar_s_ends_is_no_error(text):
    for reader in (AMSTERDAM, NEW_YORK):
        span = reader.read(text)
        assert span is None or span.first == span.last


@given(st.text(max_size=30) | st.from_regex(r"[0-9T:Z+.-]{4,30}", fullmatch=True))
def test_reading_never_raises(text):
    for reader in (AS_WRITTEN, AMSTERDAM):
        span = reader.read(text)
        assert span is None or span.first <= span.last


@given(TIMES)
def test_a_time_in_utc_is_that_moment_in_the_zone(when):
    from zoneinfo import ZoneInfo

    utc = when.replace(tzinfo=UTC, microsecond=0)
    local = utc.astimezone(ZoneInfo("Europe/Amsterdam"))
    span = AMSTERDAM.read(utc.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert span.order == (local.date(), local.strftime("%H:%M:%S"))


def test_no_time_sorts_as_midnight_and_fractions_by_size():
    texts = [
        "2016-01-09T23:59:59Z",
        "2016-01-10",
        "2016-01-10T00:00:00.01Z",
        "2016-01-10T08:00:00Z",
        "2016-01-10T08:00:00.09Z",
        "2016-01-10T08:00:00.1Z",
        "2016-01-10T08:00:01Z",
        "2016-01-11",
    ]
    orders = [AS_WRITTEN.read(text).order for text in texts]
    assert orders == sorted(set(orders))
    assert AS_WRITTEN.read("2016-01-10").order == AS_WRITTEN.read("2016-01-10T00:00:00Z").order


@pytest.mark.parametrize("name", ["Europe/Amsterdm", "CEST+2", "../../etc/passwd", "Europe", "/"])
def test_an_unknown_time_zone_is_a_usage_error(name):
    with pytest.raises(UsageError, match="timezone"):
        DateReader(name)


EARLIEST = datetime.min.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-06-01T10:00:00Z", datetime(2016, 6, 1, 10, tzinfo=UTC)),
        ("2016-06-01T10:00:00+02:00", datetime(2016, 6, 1, 8, tzinfo=UTC)),
        ("2016-06-01T10:00:00-05:30", datetime(2016, 6, 1, 15, 30, tzinfo=UTC)),
        ("2016-06-01T00:30:00+01:00", datetime(2016, 5, 31, 23, 30, tzinfo=UTC)),
        ("2016-06-01T10:00:00.5Z", datetime(2016, 6, 1, 10, 0, 0, 500000, tzinfo=UTC)),
        ("2016-06-01T10:00:00.000001Z", datetime(2016, 6, 1, 10, 0, 0, 1, tzinfo=UTC)),
        ("2016-06-01T10:00:00.1234567Z", datetime(2016, 6, 1, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2016-06-01T10:00Z", datetime(2016, 6, 1, 10, tzinfo=UTC)),
        ("2016-06-01", datetime(2016, 6, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        (None, EARLIEST),
        ("", EARLIEST),
        ("yesterday", EARLIEST),
        ("2016-06-01T25:00:00Z", EARLIEST),
        ("2016-06-31T10:00:00Z", EARLIEST),
        ("2016-06-01T10:00:00+0200", EARLIEST),
        ("20160601T100000Z", EARLIEST),
    ],
)
def test_moments(text, expected):
    assert moment(text) == expected


@given(st.none() | st.text(max_size=30) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9T:Z+.-]*"))
def test_moments_never_raise(text):
    assert moment(text) >= EARLIEST


@given(
    TIMES,
    st.integers(-14 * 60, 14 * 60),
)
def test_moments_are_the_same_at_any_offset(when, minutes):
    local = when + timedelta(minutes=minutes)
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    text = f"{local:%Y-%m-%dT%H:%M:%S.%f}{sign}{hours:02}:{rest:02}"
    assert moment(text) == when.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["20160301", "2016-3-1", "2016-03-1", "20160301101500", "201603011015+0100"]
)
def test_a_day_in_another_form_is_read_where_its_order_is_clear(text: str) -> None:
    found = DateReader().read(text)
    assert found is not None
    assert found.first == found.last == date(2016, 3, 1)


@pytest.mark.parametrize("text", ["01.03.2016", "2016/03/01", "20161301", "2016-3", "12345678"])
def test_a_day_in_another_form_is_not_guessed(text: str) -> None:
    assert DateReader().read(text) is None
