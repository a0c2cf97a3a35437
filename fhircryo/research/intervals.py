"""Times that are known only as an interval, with their lower and upper bound in days from D0."""

from collections.abc import Collection
from datetime import date, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fhircryo.endpoints.result import Result

if TYPE_CHECKING:
    import pandas as pd

#: Bounds that would disclose D0 are widened to a multiple of so many days.
_STEP = 30


def midpoint(low: int, high: int) -> int:
    """The day that estimates use for an interval: its middle, rounded down."""
    return (low + high) // 2


def midpoints(low: "pd.Series[int]", high: "pd.Series[int]") -> list[int]:
    """The days that estimates use for times; ``high``: missing where the time is no interval."""
    pairs = zip(low, high.fillna(low), strict=True)
    return [midpoint(int(first), int(last)) for first, last in pairs]


def without_calendar(result: Result, d0: date, visits: Collection[date]) -> Result:
    """The result with bounds that do not disclose D0; ``visits``: days on which he was seen.

    Where only a month or a year is recorded, the bounds are its first and last day, and their
    distance from D0 would disclose the date of D0. They are moved outwards to the next multiple of
    30 days. A bound that is the day of a visit, such as that of a PSA result, stays as it is.
    """
    low, high = result.value, result.high
    if high is None or not isinstance(low, int):
        return result
    if d0 + timedelta(days=low) not in visits:
        low = low // _STEP * _STEP
    if d0 + timedelta(days=high) not in visits:
        high = -(-high // _STEP) * _STEP
    return replace(result, value=low, high=high)
