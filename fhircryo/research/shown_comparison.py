"""The groups of a cohort beside each other where no small group may be shown.

That is so in an aggregate, and for the year of the index procedure, which the pseudonymised tables
do not have: whoever has the table of patients would read the years off exact numbers by group.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from fhircryo.endpoints.catalogue import DISEASE_FREE, MAJOR_CLAVIEN
from fhircryo.endpoints.value_types import Detail
from fhircryo.errors import UsageError
from fhircryo.research.aggregate_baseline import shown_baseline
from fhircryo.research.baseline_summary import BaselineRow
from fhircryo.research.comparison import Comparison, GroupedTime, GroupRate
from fhircryo.research.disclosure_topics import COMPLICATIONS, GROUPS, SALVAGE
from fhircryo.research.endpoint_columns import detail_column
from fhircryo.research.grouping import Grouping
from fhircryo.research.shown_groups import QUARTERS, ShownGroups
from fhircryo.research.statistics.proportions import Proportion, proportion
from fhircryo.research.statistics.suppress import pool_small
from fhircryo.research.table import snake

if TYPE_CHECKING:
    from fhircryo.research.statistics.disclosure import Group

#: The name of the group of those of whom the group is not known.
_NOT_KNOWN = "not known"
#: The topics of the rates by group, by their column; the rest are of disease-free.
_TOPICS = {snake(MAJOR_CLAVIEN.key): COMPLICATIONS, "salvage_therapy": SALVAGE}


def shown_grouping(grouping: Grouping, shown: ShownGroups) -> Grouping:
    """The groups of which the sizes may be shown: small ones are pooled as one.

    Their sizes are published by this, and go before all other numbers.

    Raises:
        UsageError: there are not two groups that may be shown.
    """
    of = tuple(_NOT_KNOWN if one is None else one for one in grouping.of)
    names = [*grouping.groups, *([_NOT_KNOWN] if grouping.unknown else [])]
    counts = pool_small({name: of.count(name) for name in names}, shown.threshold)
    pooled = set(names) - counts.keys()
    other = next((name for name in counts if name not in names), None)
    found = Grouping(
        grouping.words,
        tuple(name for name in counts if name != _NOT_KNOWN),
        tuple(other if one in pooled else None if one == _NOT_KNOWN else one for one in of),
    )
    few = grouping.at_median and len(of) - grouping.unknown < QUARTERS * shown.threshold
    sizes = [_members(found, name) for name in (*found.groups, None)]
    if few or len(found.groups) < 2 or not all(shown.admit_shared(GROUPS, one) for one in sizes):
        raise UsageError(
            f"--by: the groups by {grouping.words} are too small to be shown (the setting"
            f" smallest_group: {shown.threshold}); name another column, or leave out --by"
        )
    return found


def shown_comparison(found: Comparison, shown: ShownGroups) -> Comparison:
    """The comparison of groups that ``shown_grouping`` gave, without small groups.

    Of times to event, the patients with an event are shown, and P of the log-rank test where these
    are shown of every group; curves, medians and Cox's models are not. Where the group is secret,
    baseline characteristics are not shown either: a reader of the table knows them of each patient.
    """
    members = [_members(found.grouping, name) for name in found.grouping.groups]
    rates = [_rate(rate, shown, members) for rate in found.rates]
    rates += [_events(time, shown, members) for time in found.times]
    baseline: tuple[tuple[BaselineRow, ...], ...] = ()
    if not shown.secret:
        groups = zip(found.baseline, map(shown.within, members), strict=True)
        baseline = tuple(
            tuple(shown_baseline(row, group) for row in rows) for rows, group in groups
        )
    return Comparison(found.grouping, found.patients, baseline, tuple(rates), ())


def _members(grouping: Grouping, name: str | None) -> "Group":
    return np.array([one == name for one in grouping.of], dtype=bool)


def _rate(rate: GroupRate, shown: ShownGroups, members: "Sequence[Group]") -> GroupRate:
    topic = _TOPICS.get(rate.column, DISEASE_FREE.key)
    known, yes = shown.known(rate.column), shown.yes(rate.column)
    return replace(rate, counted=_by_group(topic, (known, yes), rate.counted, shown, members))


def _events(time: GroupedTime, shown: ShownGroups, members: "Sequence[Group]") -> GroupRate:
    """The patients with an event, of those of whom the time is known."""
    key, event = time.endpoint.key, detail_column(time.endpoint, Detail.EVENT)
    known = shown.known(snake(key)) & shown.known(event)
    counted = [proportion(curve.n_events, curve.n) for curve in time.curves]
    told = _by_group(key, (known, known & shown.yes(event)), counted, shown, members)
    return GroupRate(f"{time.words}: event", snake(key), told, None if None in told else time.p)


def _by_group(
    topic: str,
    whole: "tuple[Group, Group]",
    counted: Sequence[Proportion | None],
    shown: ShownGroups,
    members: "Sequence[Group]",
) -> tuple[Proportion | None, ...]:
    """A proportion of each group where it may be shown; ``whole``: who is known, and who has yes.

    Not without that of the whole cohort: that a group has none tells that others have it.
    """
    known, yes = whole
    if not shown.admit(topic, known, yes):
        return (None,) * len(counted)
    if shown.secret:
        return tuple(counted)
    return tuple(
        one if shown.admit(topic, known & group, yes & group) else None
        for one, group in zip(counted, members, strict=True)
    )
