"""Times to event: Kaplan-Meier estimates, with those of intervals at both of their bounds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.catalogue import (
    CANCER_SPECIFIC_SURVIVAL,
    DISEASE_FREE_SURVIVAL,
    FAILURE_FREE_SURVIVAL,
    METASTASIS_FREE_SURVIVAL,
    OVERALL_SURVIVAL,
    TIME_TO_FAILURE,
    TIME_TO_SALVAGE_THERAPY,
    Endpoint,
)
from fhircryo.endpoints.labels import label
from fhircryo.endpoints.value_types import Detail
from fhircryo.mapping.protocol import Protocol
from fhircryo.record.items import EventKind
from fhircryo.research.columns import Certainty
from fhircryo.research.endpoint_columns import detail_column
from fhircryo.research.evaluable import lacks_type
from fhircryo.research.intervals import midpoint
from fhircryo.research.statistics.kaplan_meier import Curve, Estimate, kaplan_meier
from fhircryo.research.table import PATIENT, snake

if TYPE_CHECKING:
    import pandas as pd

_DISEASE = frozenset(
    {
        EventKind.BIOCHEMICAL_FAILURE,
        EventKind.LOCAL_RECURRENCE,
        EventKind.NODAL_RECURRENCE,
        EventKind.METASTASIS,
        EventKind.PROGRESSION,
    }
)
#: The kinds of events that each time looks for, salvage therapy in disease-free survival aside.
_KINDS = {
    TIME_TO_FAILURE: frozenset({EventKind.BIOCHEMICAL_FAILURE}),
    DISEASE_FREE_SURVIVAL: _DISEASE | {EventKind.DEATH},
    METASTASIS_FREE_SURVIVAL: frozenset({EventKind.METASTASIS, EventKind.DEATH}),
    FAILURE_FREE_SURVIVAL: frozenset({EventKind.METASTASIS, EventKind.SALVAGE_THERAPY}),
    TIME_TO_SALVAGE_THERAPY: frozenset({EventKind.SALVAGE_THERAPY}),
    OVERALL_SURVIVAL: frozenset({EventKind.DEATH}),
    CANCER_SPECIFIC_SURVIVAL: frozenset({EventKind.DEATH}),
}
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
    disclose individual patients. ``shown_to``: the last day on which enough patients are at risk
    for the curve to be drawn. ``left_out``: the patients whose time is not known;
    ``left_out_events``: those of them who had an event that this time looks for, after the index
    procedure; None if that is not known, both None if they may not be shown. ``estimable``: not
    where the source lacks a type of resource, so that only patients with an event are known; there
    are no estimates then.
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
    shown_to: int | None = None
    left_out: int | None = None
    left_out_events: int | None = None
    estimable: bool = True

    @property
    def only_events_left_out(self) -> bool:
        """Whether all who are left out had an event, so that the estimates are too favourable."""
        return bool(self.left_out) and self.left_out == self.left_out_events


def survival(
    patients: "pd.DataFrame",
    events_of_patients: "pd.DataFrame",
    endpoint: Endpoint,
    protocol: Protocol,
    least_at_risk: int,
) -> Survival:
    """The estimates of a time to event from the tables of patients and of events.

    ``least_at_risk``: where fewer patients are at risk, the curve is not drawn.
    """
    time, event = snake(endpoint.key), detail_column(endpoint, Detail.EVENT)
    upper = detail_column(endpoint, Detail.HIGH)
    known = patients[patients[time].notna() & patients[event].notna()]
    low = [int(day) for day in known[time]]
    high = [int(day) for day in known[upper].fillna(known[time])]
    left_out = patients.loc[~patients.index.isin(known.index), PATIENT]
    events = [bool(happened) for happened in known[event]]
    intervals = int(known[upper].notna().sum())
    if lacks_type(patients, time):
        words = label(endpoint, protocol)
        return Survival(endpoint, words, len(known), sum(events), (), estimable=False)
    curve = kaplan_meier(map(midpoint, low, high), events)
    days = landmark_days(curve.days)
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
        _shown_to(curve, least_at_risk),
        len(left_out),
        _with_event(left_out, events_of_patients, endpoint, protocol),
    )


def landmark_days(days: Sequence[int]) -> list[int]:
    """The days at which a curve is read off, as far as it goes."""
    last = days[-1] if days else 0
    return [round(months * MONTH) for months in LANDMARKS if months * MONTH <= last]


def _shown_to(curve: Curve, least: int) -> int | None:
    """The last day of the curve on which so many patients are at risk; None if there is none."""
    days = [day for day, at_risk in zip(curve.days, curve.at_risk, strict=True) if at_risk >= least]
    return max(days, default=None)


def _with_event(
    names: "pd.Series[str]", events: "pd.DataFrame", endpoint: Endpoint, protocol: Protocol
) -> int | None:
    """How many of the named patients had an event of a known time after the index procedure.

    None of a time of which the kinds of events are not named here.
    """
    kinds = _KINDS.get(endpoint)
    if kinds is None:
        return None
    if endpoint is DISEASE_FREE_SURVIVAL and protocol.salvage_therapy == "event":
        kinds |= {EventKind.SALVAGE_THERAPY}
    dated = events["certainty"].astype(str).isin([Certainty.DAY, Certainty.INTERVAL])
    looked_for = events["kind"].astype(str).isin(kinds)
    return int(names.isin(events.loc[dated & looked_for, PATIENT]).sum())


def _bounds(low: list[int], high: list[int], events: list[bool], days: list[int]) -> Bounds:
    first, last = kaplan_meier(low, events), kaplan_meier(high, events)
    return Bounds(
        tuple(first.at(day) for day in days),
        tuple(last.at(day) for day in days),
        first.median,
        last.median,
    )
