"""Times to event: Kaplan-Meier estimates, with those of intervals at both of their bounds."""

from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.catalogue import Endpoint
from fhircryo.endpoints.labels import label
from fhircryo.endpoints.value_types import Detail
from fhircryo.mapping.protocol import Protocol
from fhircryo.research.endpoint_columns import detail_column
from fhircryo.research.evaluable import lacks_type
from fhircryo.research.intervals import midpoint
from fhircryo.research.statistics.kaplan_meier import Curve, Estimate, kaplan_meier
from fhircryo.research.table import snake

if TYPE_CHECKING:
    import pandas as pd

#: The mean number of days of a month: 365.25 / 12.
MONTH = 30.4375
#: The months at which the survival curves are read off.
LANDMARKS = (6, 12, 24, 36, 48, 60)


class Bounds(msgspec.Struct, frozen=True):
    """The estimates with every interval event on its first, and on its last possible day.

    ``first`` and ``last``: the readings of both curves, at the same days as those of the estimate.
    """

    first: tuple[Estimate, ...]
    last: tuple[Estimate, ...]
    median_first: int | None
    median_last: int | None


class Survival(msgspec.Struct, frozen=True):
    """A time to event; ``words``: its name under the protocol.

    ``landmarks``: readings of the curve, in which an event that is known only as an interval counts
    on the middle day of it. ``intervals``: how many there are; None if too few to be shown.
    ``bounds``: None if there are none, or if they may not be shown. ``curve``: None if it would
    disclose individual patients. ``estimable``: not where the source lacks a type of resource, so
    that only patients with an event are known; there are no estimates then.
    """

    endpoint: Endpoint
    words: str
    patients: int | None
    events: int | None
    landmarks: tuple[Estimate, ...]
    median: int | None = None
    curve: Curve | None = None
    intervals: int | None = 0
    bounds: Bounds | None = None
    estimable: bool = True


def survival(patients: "pd.DataFrame", endpoint: Endpoint, protocol: Protocol) -> Survival:
    """The estimates of a time to event from the table of patients."""
    time, event = snake(endpoint.key), detail_column(endpoint, Detail.EVENT)
    upper = detail_column(endpoint, Detail.HIGH)
    known = patients[patients[time].notna() & patients[event].notna()]
    low = [int(day) for day in known[time]]
    high = [int(day) for day in known[upper].fillna(known[time])]
    events = [bool(happened) for happened in known[event]]
    intervals = int(known[upper].notna().sum())
    if lacks_type(patients, time):
        words = label(endpoint, protocol)
        return Survival(endpoint, words, len(known), sum(events), (), estimable=False)
    curve = kaplan_meier(map(midpoint, low, high), events)
    last = curve.days[-1] if curve.days else 0
    days = [round(months * MONTH) for months in LANDMARKS if months * MONTH <= last]
    return Survival(
        endpoint,
        label(endpoint, protocol),
        curve.n,
        curve.n_events,
        tuple(curve.at(day) for day in days),
        curve.median,
        curve,
        intervals,
        _bounds(low, high, events, days) if intervals else None,
    )


def _bounds(low: list[int], high: list[int], events: list[bool], days: list[int]) -> Bounds:
    first, last = kaplan_meier(low, events), kaplan_meier(high, events)
    return Bounds(
        tuple(first.at(day) for day in days),
        tuple(last.at(day) for day in days),
        first.median,
        last.median,
    )
