"""Aalen-Johansen: the share with an event over time where another event can come before it."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import IntEnum

import msgspec

from fhircryo.research.statistics.proportions import LEVEL


class Ending(IntEnum):
    """How a time ends."""

    CENSORED = 0
    EVENT = 1
    COMPETING = 2


class IncidenceEstimate(msgspec.Struct, frozen=True):
    """The share with an event by a day; None after the last day of follow-up."""

    day: int
    at_risk: int
    events: int
    share: float | None = None
    lower: float | None = None
    upper: float | None = None


class Incidence(msgspec.Struct, frozen=True):
    """A step curve: each value holds from its day until the next day of the curve.

    ``days`` begins with 0. ``at_risk``: just before the day. ``events``: with the event by the
    day. ``lower`` and ``upper``: None before the first event.
    """

    n: int
    days: tuple[int, ...] = ()
    share: tuple[float, ...] = ()
    lower: tuple[float | None, ...] = ()
    upper: tuple[float | None, ...] = ()
    at_risk: tuple[int, ...] = ()
    events: tuple[int, ...] = ()

    def at(self, day: int) -> IncidenceEstimate:
        """The curve at a day."""
        step = bisect_right(self.days, day) - 1
        if step < 0:
            return IncidenceEstimate(day, 0, 0)
        after = bisect_left(self.days, day)
        if after == len(self.days):
            return IncidenceEstimate(day, 0, self.events[step])
        return IncidenceEstimate(
            day,
            self.at_risk[after],
            self.events[step],
            self.share[step],
            self.lower[step],
            self.upper[step],
        )


#: Where within its day a time is placed: censored patients are at risk of all events of their day.
_CENSORED_WITHIN_DAY = 0.5


def aalen_johansen(
    days: Sequence[int], endings: Sequence[Ending], level: float = LEVEL
) -> Incidence:
    """The Aalen-Johansen estimate of the cumulative incidence, with a pointwise band.

    ``days``: of each patient; ``endings``: how the time ends. The band uses the delta method and
    the log-minus-log transform (Collett, Modelling Survival Data in Medical Research, 3rd edition,
    page 411).
    """
    if not days:
        return Incidence(0)
    from lifelines import AalenJohansenFitter

    order = sorted(range(len(days)), key=lambda one: (days[one], endings[one] or len(Ending)))
    times = _without_ties([days[one] for one in order], [endings[one] for one in order])
    fitter = AalenJohansenFitter(alpha=1 - level)
    fitter.fit(times, [int(endings[one]) for one in order], event_of_interest=int(Ending.EVENT))
    shares = fitter.cumulative_density_.iloc[:, 0]
    # The names of the columns do not tell which of them is the lower limit.
    band = fitter.confidence_interval_
    lower, upper = band.min(axis=1).tolist(), band.max(axis=1).tolist()
    # Of the times within a day the last one has what holds after it.
    last = {int(time) - 1: row for row, time in enumerate(shares.index) if time >= 1}
    steps = sorted({0, *days})
    found = [
        (float(shares.iloc[last[day]]), lower[last[day]], upper[last[day]])
        if day in last
        else (0.0, None, None)
        for day in steps
    ]
    ordered = [days[one] for one in order]
    happened = [days[one] for one in order if endings[one] is Ending.EVENT]
    return Incidence(
        n=len(days),
        days=tuple(steps),
        share=tuple(share for share, _, _ in found),
        lower=tuple(_limit(share, low) for share, low, _ in found),
        upper=tuple(_limit(share, high) for share, _, high in found),
        at_risk=tuple(len(days) - bisect_left(ordered, day) for day in steps),
        events=tuple(bisect_right(happened, day) for day in steps),
    )


def _without_ties(days: list[int], endings: list[Ending]) -> list[float]:
    """The days as times of which no two events have the same, from 1 on.

    lifelines would break ties at random, also those with censored patients. Events of a day one
    after another give the same estimate as at once.
    """
    times, number, before = [], 0, -1
    for day, ending in zip(days, endings, strict=True):
        number = number + 1 if day == before else 1
        before = day
        within = _CENSORED_WITHIN_DAY
        if ending is not Ending.CENSORED:
            within *= number / (len(days) + 1)
        times.append(day + 1 + within)
    return times


def _limit(share: float, limit: float | None) -> float | None:
    """A limit of the band; None where there is no event yet."""
    return float(limit) if limit is not None and 0 < share < 1 and limit == limit else None
