"""Kaplan-Meier: the share without an event over time, its band, and the numbers at risk."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

import msgspec

from fhircryo.research.statistics.proportions import LEVEL


class Estimate(msgspec.Struct, frozen=True):
    """The curve at a day; ``survival`` is None after the last day of follow-up."""

    day: int
    at_risk: int
    events: int
    survival: float | None = None
    lower: float | None = None
    upper: float | None = None


class Curve(msgspec.Struct, frozen=True):
    """A step curve: each value holds from its day until the next day of the curve.

    ``days`` begins with 0. ``at_risk``: just before the day; ``events`` and ``censored``: on it.
    ``lower`` and ``upper`` are None where the curve has no band (before the first event, and at 0).
    ``median``: the first day on which at most half have had no event; None if it is not reached.
    """

    n: int
    n_events: int
    days: tuple[int, ...] = ()
    survival: tuple[float, ...] = ()
    lower: tuple[float | None, ...] = ()
    upper: tuple[float | None, ...] = ()
    at_risk: tuple[int, ...] = ()
    events: tuple[int, ...] = ()
    censored: tuple[int, ...] = ()
    median: int | None = None

    def at(self, day: int) -> Estimate:
        """The curve at a day."""
        step = bisect_right(self.days, day) - 1
        if step < 0:
            return Estimate(day, 0, 0)
        events = sum(self.events[: step + 1])
        after = bisect_left(self.days, day)
        at_risk = self.at_risk[after] if after < len(self.days) else 0
        if day > self.days[-1] and self.survival[-1] > 0:
            return Estimate(day, 0, events)
        return Estimate(
            day, at_risk, events, self.survival[step], self.lower[step], self.upper[step]
        )


def kaplan_meier(days: Iterable[int], events: Iterable[bool], level: float = LEVEL) -> Curve:
    """The Kaplan-Meier estimate of times to event, in days, with a pointwise band.

    The band uses Greenwood's variance and the log-minus-log transform (Kalbfleisch and Prentice;
    ``conf.type = "log-log"`` in R). An event on day 0 lowers the curve on day 0.
    """
    times = [int(day) for day in days]
    happened = [bool(event) for event in events]
    if not times:
        return Curve(0, 0)
    from lifelines import KaplanMeierFitter

    fitter = KaplanMeierFitter(alpha=1 - level).fit(times, happened)
    table = fitter.event_table
    band = fitter.confidence_interval_
    survival = [float(share) for share in fitter.survival_function_.iloc[:, 0]]
    steps = [int(day) for day in table.index]
    median = next((day for day, left in zip(steps, survival, strict=True) if left <= 0.5), None)
    return Curve(
        n=len(times),
        n_events=sum(happened),
        days=tuple(steps),
        survival=tuple(survival),
        lower=_within(band.iloc[:, 0], survival),
        upper=_within(band.iloc[:, 1], survival),
        at_risk=tuple(int(count) for count in table["at_risk"]),
        events=tuple(int(count) for count in table["observed"]),
        censored=tuple(int(count) for count in table["censored"]),
        median=median,
    )


def _within(limits: Iterable[float], survival: list[float]) -> tuple[float | None, ...]:
    """The limits of the band; None where survival is 1 or 0, which have no band."""
    return tuple(
        float(limit) if 0 < left < 1 and limit == limit else None
        for limit, left in zip(limits, survival, strict=True)
    )
