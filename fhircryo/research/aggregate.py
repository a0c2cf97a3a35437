"""The numbers of a cohort with everything hidden that would tell of a few people.

No small count can be had as a difference either: a share is shown only where yes, no and the
unknown are none or enough; reasons of few are pooled; a paired change is shown only where those who
lack the other score are none or enough; a curve is read off only where those are who had an event
or left since the last reading.
"""

from msgspec.structs import replace

from fhircryo.mapping.protocol import BASELINE
from fhircryo.research.analysis import (
    Absence,
    Analysis,
    Evaluable,
    Grades,
    NotUsedCount,
    Prom,
    PromChange,
    PromPoint,
    Survival,
)
from fhircryo.research.flow import Flow, Lost
from fhircryo.research.results_table import Row
from fhircryo.research.statistics.distribution import Distribution
from fhircryo.research.statistics.kaplan_meier import Estimate
from fhircryo.research.statistics.paired import Paired
from fhircryo.research.statistics.proportions import Proportion
from fhircryo.research.statistics.responders import Responders
from fhircryo.research.statistics.suppress import hides_table, is_small, pool_small

NOT_SHOWN = "not shown"


def aggregated(found: Analysis, threshold: int) -> Analysis:
    """An analysis that shows no group of 1 to below the threshold, and no single patient."""
    return _Aggregator(found.flow.cohort, threshold).all(found)


class _Aggregator:
    def __init__(self, cohort: int, threshold: int) -> None:
        self._cohort = cohort
        self._threshold = threshold
        #: Changes that may be shown.
        self._changes: list[Paired] = []

    def all(self, found: Analysis) -> Analysis:
        proms = tuple(self._prom(one) for one in found.proms)
        return Analysis(
            flow=self._flow(found.flow),
            table=tuple(self._row(row) for row in found.table),
            survival=tuple(self._survival(one) for one in found.survival),
            nadir=self._distribution(found.nadir),
            nadir_days=self._distribution(found.nadir_days),
            proms=proms,
            grades=self._grades(found.grades),
            evaluable=tuple(self._evaluable(one) for one in found.evaluable),
            not_used=tuple(self._not_used(one) for one in found.not_used),
            salvaged=self._proportion(found.salvaged),
            salvage=None,
        )

    def _any_small(self, *counts: int) -> bool:
        return any(is_small(count, self._threshold) for count in counts)

    def _flow(self, flow: Flow) -> Flow:
        lost = {one.words: one.patients or 0 for one in flow.lost}
        procedures = {reason: count or 0 for reason, count in flow.procedures.items()}
        small = self._any_small(sum(lost.values()), flow.cohort)
        shown = {} if small else pool_small(lost, self._threshold)
        return replace(
            flow,
            # With the cohort's size it would tell how many were lost.
            candidates=None if small else flow.candidates,
            lost=[Lost(words, count) for words, count in shown.items()],
            procedures=dict(pool_small(procedures, self._threshold)),
        )

    def _proportion(self, one: Proportion | None) -> Proportion | None:
        if one is None:
            return None
        parts = (one.successes, one.n - one.successes, self._cohort - one.n)
        return None if self._any_small(*parts) else one

    def _row(self, row: Row) -> Row:
        hidden = replace(row, ours=NOT_SHOWN, counted=None, change=None)
        if row.counted is not None:
            return row if self._proportion(row.counted) is not None else hidden
        if row.change is not None:
            words = row.words.rpartition(",")[0]
            return row if row.change in self._changes else replace(hidden, words=words)
        return row if not self._any_small(self._cohort) else hidden

    def _survival(self, one: Survival) -> Survival:
        curve = one.curve
        if curve is None or not curve.n or self._any_small(curve.n, self._cohort - curve.n):
            return Survival(one.endpoint, None, None, ())
        shown: list[Estimate] = []
        before = (0, 0)
        total = (curve.n_events, curve.n - curve.n_events)
        for estimate in one.landmarks:
            gone = sum(
                count
                for day, count in zip(curve.days, curve.censored, strict=True)
                if day < estimate.day
            )
            at = (curve.n - gone - estimate.at_risk, gone)
            steps = [now - then for now, then in zip(at, before, strict=True)]
            left = [end - now for end, now in zip(total, at, strict=True)]
            now = estimate.events - at[0]  # on the day itself
            if self._any_small(*steps, *left, estimate.at_risk, now, left[0] - now):
                continue
            shown.append(estimate)
            before = at
        small = self._any_small(*total)
        return Survival(
            one.endpoint,
            curve.n,
            None if small else curve.n_events,
            () if small else tuple(shown),
        )

    def _distribution(self, one: Distribution | None) -> Distribution | None:
        """Quartiles of twice the threshold or more; never the extremes, which are somebody's."""
        if one is None or one.n < 2 * self._threshold or self._any_small(self._cohort - one.n):
            return None
        return replace(one, minimum=None, maximum=None)

    def _paired(self, one: Paired | None) -> Paired | None:
        if one is None:
            return None
        change = self._distribution(one.change)
        if change is None or self._any_small(one.changed, one.n - one.changed):
            return None
        return replace(one, change=change)

    def _prom(self, prom: Prom) -> Prom:
        points = []
        for point in prom.points:
            complete = self._proportion(point.completeness)
            scores = self._distribution(point.scores) if complete is not None else None
            points.append(PromPoint(point.time_point, complete, scores))
        scored = {one.time_point: one.scores.n for one in prom.points if one.scores is not None}
        changes = []
        for change in prom.changes:
            paired = self._paired(change.paired)
            if change.paired is not None:
                single = (
                    scored.get(point, 0) - change.paired.n
                    for point in (BASELINE, change.time_point)
                )
                if self._any_small(*single):
                    paired = None
                if paired is not None:
                    self._changes.append(change.paired)
            counted = None if paired is None else self._responders(change.responders)
            changes.append(PromChange(change.time_point, paired, counted))
        return replace(prom, points=tuple(points), changes=tuple(changes))

    def _responders(self, one: Responders | None) -> Responders | None:
        if one is None:
            return None
        same = one.better.n - one.better.successes - one.worse.successes
        parts = (one.better.successes, one.worse.successes, same)
        return None if self._any_small(*parts) else one

    def _grades(self, grades: Grades) -> Grades:
        cells = grades.cells or ()
        columns = zip(*cells, strict=True)
        margins = [[sum(row) for row in cells], [sum(column) for column in columns]]
        small = hides_table([*cells, *margins], self._threshold)
        return Grades((), (), None) if small else grades

    def _evaluable(self, one: Evaluable) -> Evaluable:
        known = one.patients or 0
        if self._any_small(known, self._cohort - known):
            return replace(one, patients=None, absent=())
        reasons = pool_small(
            {each.reason: each.patients or 0 for each in one.absent}, self._threshold
        )
        absent = tuple(Absence(reason, count) for reason, count in reasons.items())
        return replace(one, absent=absent)

    def _not_used(self, one: NotUsedCount) -> NotUsedCount:
        return one if not self._any_small(one.count or 0) else replace(one, count=None)
