"""Times to event in an aggregate: readings between which no small group comes or goes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fhircryo.endpoints.value_types import Detail
from fhircryo.research.disclosure_topics import in_time
from fhircryo.research.endpoint_columns import detail_column
from fhircryo.research.intervals import midpoint
from fhircryo.research.shown_groups import ShownGroups
from fhircryo.research.statistics.kaplan_meier import Estimate
from fhircryo.research.survival import Survival
from fhircryo.research.table import snake

if TYPE_CHECKING:
    from fhircryo.research.statistics.disclosure import Group

#: The decimals of a share in an aggregate, as the report prints it. More would give away in which
#: order patients had events and were censored between two readings.
_DECIMALS = 2


def shown_survival(survival: Survival, groups: ShownGroups) -> Survival:
    """A time to event without its curve, its median and what would give small groups away."""
    key, column = survival.endpoint.key, snake(survival.endpoint.key)
    event = detail_column(survival.endpoint, Detail.EVENT)
    hidden = Survival(
        survival.endpoint,
        survival.words,
        None,
        None,
        (),
        intervals=None,
        estimable=survival.estimable,
    )
    known = groups.known(column) & groups.known(event)
    if not survival.estimable or not groups.admit(key, known):
        return hidden
    hidden = replace(hidden, patients=survival.patients)
    happened = groups.yes(event) & known
    if not survival.patients or not groups.admit(key, known, happened):
        return hidden
    within = known & groups.known(detail_column(survival.endpoint, Detail.HIGH))
    readings = tuple(_readings(survival, groups, known, happened))
    told = groups.admit(key, known, within)
    intervals = survival.intervals if told else None
    return replace(hidden, events=survival.events, landmarks=readings, intervals=intervals)


def _readings(
    survival: Survival,
    groups: ShownGroups,
    known: "Group",
    happened: "Group",
) -> Iterator[Estimate]:
    """The readings of which all groups may be shown."""
    import numpy as np

    low = groups.patients[snake(survival.endpoint.key)]
    high = groups.patients[detail_column(survival.endpoint, Detail.HIGH)].fillna(low)
    spans = zip(low.fillna(0), high.fillna(0), strict=True)
    days = np.array([midpoint(int(first), int(last)) for first, last in spans])
    for reading in survival.landmarks:
        censored = known & ~happened & (days < reading.day)
        before, so_far = happened & (days < reading.day), happened & (days <= reading.day)
        at_risk = known & (days >= reading.day)
        topic = in_time(survival.endpoint.key)
        if groups.admit(topic, known, happened, censored, before, so_far, at_risk):
            yield _rounded(reading)


def _rounded(reading: Estimate) -> Estimate:
    shares = (
        None if share is None else round(share, _DECIMALS)
        for share in (reading.survival, reading.lower, reading.upper)
    )
    return Estimate(reading.day, reading.at_risk, reading.events, *shares)
