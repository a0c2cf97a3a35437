"""Questionnaires in an aggregate: scores, changes and tests of enough patients."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fhircryo.mapping.protocol import BASELINE, Protocol
from fhircryo.research.analysis import Prom, PromChange, PromPoint, Unmarked
from fhircryo.research.disclosure_topics import EXPECTED, change_of, questionnaire
from fhircryo.research.patient_columns import expected_column, mark_column, score_column
from fhircryo.research.shown_groups import ShownGroups, as_group
from fhircryo.research.statistics.paired import Paired
from fhircryo.research.statistics.responders import least_change

if TYPE_CHECKING:
    from fhircryo.research.statistics.disclosure import Group


def shown_proms(proms: Iterable[Prom], groups: ShownGroups, protocol: Protocol) -> tuple[Prom, ...]:
    """The questionnaires; the time points of the protocol's publication go first."""
    return tuple(_Scores(prom, groups).shown(protocol) for prom in proms)


def says_anything(prom: Prom) -> bool:
    """Whether any number of a questionnaire is shown."""
    return any(point.completeness or point.scores for point in prom.points) or any(
        change.paired for change in prom.changes
    )


class _Scores:
    """The scores of an instrument."""

    def __init__(self, prom: Prom, groups: ShownGroups) -> None:
        self._prom = prom
        self._groups = groups
        self._topic = questionnaire(prom.instrument)
        self._change_topic = change_of(prom.instrument)

    def shown(self, protocol: Protocol) -> Prom:
        """What may be shown: first the changes that the publication reports."""
        prom = self._prom
        reported = {row.time_point for row in protocol.published if row.time_point}
        changes = {
            change.time_point: self._change(change)
            for change in prom.changes
            if change.time_point in reported
        }
        first = {*reported, BASELINE}
        points = {
            point.time_point: self._point(point)
            for point in sorted(prom.points, key=lambda point: point.time_point not in first)
        }
        changes |= {
            change.time_point: self._change(change)
            for change in prom.changes
            if change.time_point not in reported
        }
        return replace(
            prom,
            points=tuple(points[point.time_point] for point in prom.points),
            changes=tuple(changes[change.time_point] for change in prom.changes),
        )

    def _point(self, point: PromPoint) -> PromPoint:
        groups, name = self._groups, point.time_point
        expected = groups.admit_shared(EXPECTED, groups.yes(expected_column(name)))
        scored = groups.known(score_column(self._prom.instrument, name))
        if not groups.admit(self._topic, scored):
            return PromPoint(name, None, None)
        completeness = point.completeness if expected else None
        return PromPoint(name, completeness, groups.quartiles(point.scores))

    def _change(self, change: PromChange) -> PromChange:
        """A change, and what may be told beside it."""
        groups, name = self._groups, change.time_point
        column = score_column(self._prom.instrument, name, change=True)
        pairs = groups.known(column)
        shown = groups.admit(self._topic, pairs)
        paired = self._paired(change.paired, pairs, column) if shown else None
        if paired is None:
            return PromChange(name, None, None)
        responded, difference = change.responders, self._prom.difference
        if responded is not None and difference is not None:
            values, least = groups.patients[column], least_change(difference.points)
            rose, fell = as_group(values >= least), as_group(values <= -least)
            responded = responded if groups.admit(self._change_topic, pairs, rose, fell) else None
        unmarked = (self._unmarked(one, pairs, column, name) for one in change.unmarked)
        return PromChange(name, paired, responded, tuple(one for one in unmarked if one))

    def _paired(self, paired: Paired | None, pairs: "Group", column: str) -> Paired | None:
        """A paired change; the test only where rises, falls and neither are no small groups.

        An effect of nearly 1 and a small P value would tell how many fell. A quartile between two
        scores tells how many lie below it.
        """
        groups, values = self._groups, self._groups.patients[column]
        change = None if paired is None else groups.quartiles(paired.change)
        if paired is None or change is None:
            return None
        quartiles = (change.q1, change.median, change.q3)
        below = [
            pairs & as_group(values < quartile)
            for quartile in quartiles
            if not (pairs & as_group(values == quartile)).any()
        ]
        if not groups.admit(self._change_topic, pairs, *below):
            return None
        rose, fell = pairs & as_group(values > 0), pairs & as_group(values < 0)
        if groups.admit(self._change_topic, pairs, rose, fell):
            return replace(paired, change=change)
        return replace(paired, change=change, statistic=None, p=None, effect=None)

    def _unmarked(
        self, unmarked: Unmarked, pairs: "Group", column: str, time_point: str
    ) -> Unmarked | None:
        """The change without marked pairs; None if it may not be told that there are any."""
        name = mark_column(self._prom.instrument, time_point, unmarked.key, change=True)
        marked = pairs & self._groups.yes(name)
        if not self._groups.admit(self._change_topic, pairs, marked):
            return None
        return replace(unmarked, paired=self._paired(unmarked.paired, pairs & ~marked, column))
