"""Calendar arithmetic: calendar dates, months clamped to the month's end, spans of days."""

import calendar
import re
from datetime import UTC, date, datetime, timedelta

import msgspec

#: A time of day with its offset. Seconds and offset are optional: FHIR wants them, servers leave
#: them out.
TIME = re.compile(
    r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]|60)(?:\.([0-9]+))?)?"
    r"(Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))?"
)


class Span(msgspec.Struct, frozen=True, gc=False):
    """The first and last day that a recorded date can mean, and the time of day as written.

    ``time`` is ``HH:MM:SS[.fraction]`` without trailing zeros, empty for a date without a time.
    A span of a single day is a precise date.
    """

    first: date
    last: date
    time: str = ""

    @property
    def precise(self) -> bool:
        """Whether the day is known."""
        return self.first == self.last

    @property
    def order(self) -> tuple[date, str]:
        """Sorts by calendar date, then time as written; no time counts as 00:00."""
        return (self.first, self.time or "00:00:00")


_EVERY_MONTH_HAS = 28

#: When nothing is known of a date.
ANY_DAY = Span(date.min, date.max)


def add_months(day: date, months: int) -> date:
    """Add calendar months (negative to go back), clamped to the month's last day.

    Beyond the calendar's ends (years 1 to 9999) it is the first or last day there is.
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    month += 1
    if not date.min.year <= year <= date.max.year:
        return date.min if months < 0 else date.max
    if day.day <= _EVERY_MONTH_HAS:
        return date(year, month, day.day)
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def add_days(day: date, days: int) -> date:
    """Add days (negative to go back), up to the calendar's ends."""
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return date.min if days < 0 else date.max


def month_span(year: int, month: int) -> Span:
    """All days of a month."""
    return Span(date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1]))


def year_span(year: int) -> Span:
    """All days of a year."""
    return Span(date(year, 1, 1), date(year, 12, 31))


def moment(text: str | None) -> datetime:
    """An instant as a moment in UTC; the earliest moment where it is missing or unreadable."""
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
