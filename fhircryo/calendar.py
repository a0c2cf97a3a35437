"""Calendar arithmetic: adding months and days, spans of days, instants."""

import calendar
import re
from datetime import UTC, date, datetime, timedelta

import msgspec

#: A time of day with its UTC offset. Seconds and offset are optional here: FHIR requires them, but
#: some servers omit them.
TIME = re.compile(
    r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]|60)(?:\.([0-9]+))?)?"
    r"(Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))?"
)


class Span(msgspec.Struct, frozen=True, gc=False):
    """The first and the last day that a recorded date can mean, and the time of day as written.

    ``time`` is ``HH:MM:SS[.fraction]`` without trailing zeros; it is empty if no time is recorded.
    A precise date is a span of one day.
    """

    first: date
    last: date
    time: str = ""

    @property
    def precise(self) -> bool:
        """Whether the span is a single day."""
        return self.first == self.last

    @property
    def order(self) -> tuple[date, str]:
        """The sort key: the first day, then the time as written; no time counts as 00:00."""
        return (self.first, self.time or "00:00:00")


#: Every month has at least this many days.
_SHORTEST_MONTH = 28

#: The span of a date of which nothing is known.
ANY_DAY = Span(date.min, date.max)


def add_months(day: date, months: int) -> date:
    """Return the day ``months`` calendar months later (negative: earlier).

    The day of the month is clamped to the last day of the resulting month: 31 January plus one
    month is 28 or 29 February. Outside the years 1 to 9999 the result is ``date.min`` or
    ``date.max``.
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    month += 1
    if not date.min.year <= year <= date.max.year:
        return date.min if months < 0 else date.max
    if day.day <= _SHORTEST_MONTH:
        return date(year, month, day.day)
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def add_days(day: date, days: int) -> date:
    """Return the day ``days`` days later (negative: earlier), within the calendar's range."""
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return date.min if days < 0 else date.max


def month_span(year: int, month: int) -> Span:
    """Return the span of all days of a month."""
    return Span(date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1]))


def year_span(year: int) -> Span:
    """Return the span of all days of a year."""
    return Span(date(year, 1, 1), date(year, 12, 31))


def moment(text: str | None) -> datetime:
    """Return a FHIR dateTime or instant as a datetime in UTC, for comparing instants.

    A date without a time counts as 00:00 UTC. A missing or unreadable text gives ``datetime.min``.
    """
    earliest = datetime.min.replace(tzinfo=UTC)
    try:
        day = date.fromisoformat((text or "")[:10])
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        if not text or len(text) == 10:
            return start
        match = TIME.fullmatch(text, 11)
        if match is None:
            return earliest
        hour, minute, second, fraction, offset = match.groups()
        shift = timedelta(
            hours=int(hour),
            minutes=int(minute),
            seconds=int(second or 0),
            microseconds=int((fraction or "0")[:6].ljust(6, "0")),
        )
        if offset and offset != "Z":
            east = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6]))
            shift += -east if offset[0] == "+" else east
        return start + shift
    except (ValueError, OverflowError):
        return earliest


def read_day(text: str) -> date:
    """Return the calendar date that is written as YYYY-MM-DD.

    Raises:
        ValueError: the text is not such a date.
    """
    # date.fromisoformat also accepts forms that FHIR does not, such as 20171231 and 2017-W52-7.
    if text[4:5] != "-" or text[7:8] != "-":
        raise ValueError(f"{text!r} is not a date; write it as 2017-12-31")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date; write it as 2017-12-31") from error
