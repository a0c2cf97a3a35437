"""FHIR date, dateTime and instant, with their precision.

Source: https://hl7.org/fhir/R4/datatypes.html#dateTime
"""

import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhircryo.calendar import TIME, Span, month_span, year_span
from fhircryo.errors import UsageError

_YEAR = re.compile(r"[0-9]{4}")
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_UTC = frozenset({"Z", "+00:00", "-00:00"})


class DateReader:
    """Reads FHIR date texts as spans of calendar days.

    A date is taken as written. With ``timezone`` (an IANA name) a time written in UTC is
    converted to that zone first; other offsets stay as written.
    """

    def __init__(self, timezone: str | None = None) -> None:
        try:
            self._zone = ZoneInfo(timezone) if timezone else None
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise UsageError(
                f"setting timezone: {timezone!r} is no IANA time zone name"
                " (an example: Europe/Amsterdam)"
            ) from error

    def read(self, text: str) -> Span | None:
        """The span of days that ``text`` means; None where it is not a FHIR date."""
        try:
            if len(text) == 10:
                if text[4] != "-" or text[7] != "-":
                    return None
                day = date.fromisoformat(text)
                return Span(day, day)
            if len(text) > 10:
                return self._read_time(text)
            if _MONTH.fullmatch(text):
                return month_span(int(text[:4]), int(text[5:]))
            if _YEAR.fullmatch(text):
                return year_span(int(text))
        except (ValueError, OverflowError):
            return None
        return None

    def _read_time(self, text: str) -> Span | None:
        if text[10] != "T" or text[4] != "-" or text[7] != "-":
            return None
        match = TIME.fullmatch(text, 11)
        if match is None:
            return None
        day = date.fromisoformat(text[:10])
        hour, minute, second, fraction, offset = match.groups()
        if self._zone is not None and offset in _UTC:
            # A leap second has no datetime; it is read as the second before.
            whole = min(int(second or 0), 59)
            moment = datetime(day.year, day.month, day.day, int(hour), int(minute), whole, 0, UTC)
            local = moment.astimezone(self._zone)
            day = local.date()
            hour, minute, second = f"{local:%H}", f"{local:%M}", f"{local:%S}"
        time = f"{hour}:{minute}:{second or '00'}"
        fraction = (fraction or "").rstrip("0")
        return Span(day, day, f"{time}.{fraction}" if fraction else time)
