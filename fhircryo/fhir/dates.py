"""Reads FHIR date, dateTime and instant values with their precision.

Source: https://hl7.org/fhir/R4/datatypes.html#dateTime
"""

import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhircryo.calendar import TIME, Span, month_span, year_span
from fhircryo.errors import UsageError

_YEAR = re.compile(r"[0-9]{4}")
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
#: How many times of day are cached.
_CACHE_SIZE = 100_000
_UTC = frozenset({"Z", "+00:00", "-00:00"})

#: A day, and what is recognised after it: a time, an offset or the name of a zone.
_LOOSE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:(?:[Tt]|\s+)([0-9]{1,2}:?[0-9]{2}(?::?[0-9]{2}(?:[.,][0-9]+)?)?)|[Tt])?"
    r"\s*([Zz]|[+\- ][0-9]{2}(?::?[0-9]{2})?)?\s*([A-Za-z]{2,5})?"
)
#: A day without hyphens, as HL7 version 2 writes it, or with a month or day of one digit.
_OTHER_DAY = re.compile(
    r"\s*([0-9]{4})(?:([0-9]{2})([0-9]{2})|-([0-9]{1,2})-([0-9]{1,2}))(?![0-9-])"
)
_COMPACT = re.compile(r"\s*([0-9]{8})([0-9]{4}|[0-9]{6})((?:\.[0-9]+)?[+-][0-9]{4})?\s*")
#: A longer text is no date.
_LONGEST = 50


class DateReader:
    """Reads FHIR dates as spans of calendar days.

    The date is used as it is written. If ``timezone`` (an IANA name) is given, a time written in
    UTC is converted to that zone first; times with another offset are used as written.
    """

    def __init__(self, timezone: str | None = None) -> None:
        """Create a reader.

        Raises:
            UsageError: ``timezone`` is not the name of an IANA time zone.
        """
        try:
            self._zone = ZoneInfo(timezone) if timezone else None
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise UsageError(
                f"setting timezone: {timezone!r} is not the name of an IANA time zone"
                " (example: Europe/Amsterdam)"
            ) from error
        self._times: dict[str, str] = {}

    def read(self, text: str) -> Span | None:
        """Return the span of days that ``text`` means; None if it does not state one clearly.

        A day that is followed by a time of day in another form than FHIR's is that day, with the
        time where it can be read. A day in another form whose order is clear (``20160301``,
        ``2016-3-1``) is that day.
        """
        try:
            if len(text) == 10 and text[4] == "-" and text[7] == "-":
                day = date.fromisoformat(text)
                return Span(day, day)
            if len(text) > 10 and (found := self._read_time(text)) is not None:
                return found
            if _MONTH.fullmatch(text):
                return month_span(int(text[:4]), int(text[5:]))
            if _YEAR.fullmatch(text):
                return year_span(int(text))
            return self._read_loosely(_with_hyphens(text)) if len(text) <= _LONGEST else None
        except (ValueError, OverflowError):
            return None

    def _read_time(self, text: str) -> Span | None:
        if text[10] != "T" or text[4] != "-" or text[7] != "-":
            return None
        if self._zone is None:
            # Many resources have the same time of day, such as 00:00:00.
            written = text[11:]
            time = self._times.get(written)
            if time is None:
                match = TIME.fullmatch(written)
                if match is None:
                    return None
                hour, minute, second, fraction, _ = match.groups()
                time = _time_of_day(hour, minute, second, fraction)
                if len(self._times) < _CACHE_SIZE and len(written) <= _LONGEST:
                    self._times[written] = time
            day = date.fromisoformat(text[:10])
            return Span(day, day, time)
        return self._in_zone(text, self._zone)

    def _in_zone(self, text: str, zone: ZoneInfo) -> Span | None:
        match = TIME.fullmatch(text, 11)
        if match is None:
            return None
        day = date.fromisoformat(text[:10])
        hour, minute, second, fraction, offset = match.groups()
        if offset in _UTC:
            # datetime cannot represent a leap second, so it is read as the second before it.
            whole = min(int(second or 0), 59)
            moment = datetime(day.year, day.month, day.day, int(hour), int(minute), whole, 0, UTC)
            local = moment.astimezone(zone)
            day = local.date()
            hour, minute, second = f"{local:%H}", f"{local:%M}", f"{local:%S}"
        return Span(day, day, _time_of_day(hour, minute, second, fraction))

    def _read_loosely(self, text: str) -> Span | None:
        """Return the day at the beginning of ``text`` if what follows can only be a time."""
        match = _LOOSE.fullmatch(text.strip())
        if match is None:
            return None
        written, clock, offset, words = match.groups()
        day = date.fromisoformat(written)
        # What a word means for the time (PM, CET) is not known.
        found = None
        if clock and not words:
            found = self._read_time(f"{written}T{clock}{_offset(offset)}")
        return found or Span(day, day)


def _with_hyphens(text: str) -> str:
    """Return a text that begins with a day in another form, with the day in FHIR's form.

    Other texts stay as they are.
    """
    compact = _COMPACT.fullmatch(text)
    if compact is not None:
        day, clock, rest = compact.groups()
        return f"{_with_hyphens(day)}T{clock}{rest or ''}"
    other = _OTHER_DAY.match(text)
    if other is None:
        return text
    year, *numbers = (part for part in other.groups() if part)
    month, day = (number.zfill(2) for number in numbers)
    return f"{year}-{month}-{day}{text[other.end() :]}"


def _offset(written: str | None) -> str:
    """Return an offset as FHIR writes it: ``Z`` or ``+hh:mm``.

    A blank in place of the sign is a plus sign that was decoded as a part of a URL.
    """
    if not written:
        return ""
    if written in "Zz":
        return "Z"
    digits = written[1:].replace(":", "").ljust(4, "0")
    sign = "-" if written[0] == "-" else "+"
    return f"{sign}{digits[:2]}:{digits[2:]}"


def _time_of_day(hour: str, minute: str, second: str | None, fraction: str | None) -> str:
    """Return ``HH:MM:SS[.fraction]``: equal times are equal texts, and texts sort by time."""
    time = f"{hour}:{minute}:{second or '00'}"
    fraction = (fraction or "").rstrip("0")
    return f"{time}.{fraction}" if fraction else time
