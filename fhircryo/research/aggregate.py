"""The numbers of a cohort with all small groups suppressed.

A small group is one of 1 up to, but not including, the threshold. Small counts cannot be derived as
differences either:

- a proportion is shown only if the numbers of yes, no and unknown are each 0 or large enough;
- small reasons are pooled;
- a paired change is shown only if the number of patients who lack one of its two scores is 0 or
  large enough;
- a survival curve is read off only where the numbers of patients who had an event, or were
  censored, since the previous reading are each 0 or large enough.
"""

from collections.abc import Iterable, Iterator

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
from fhircryo.research.flow import Exclusion, Flow
from fhircryo.research.results_table import ResultsRow
from fhircryo.research.statistics.distribution import Distribution
from fhircryo.research.statistics.kaplan_meier import Curve, Estimate
from fhircryo.research.statistics.paired import Paired
from fhircryo.research.statistics.proportions import Proportion
from fhircryo.research.statistics.responders import Responders
from fhircryo.research.statistics.suppress import hides_table, is_small, pool_small

NOT_SHOWN = "not shown"


def aggregated(found: Analysis, threshold: int) -> Analysis:
    """The analysis without small groups and without individual patients."""
    return _Aggregator(found.flow.cohort, threshold).all(found)


class _Aggregator:
    """Suppresses the small groups of a cohort; ``cohort``: how many patients it has."""

    def __init__(self, cohort: int, threshold: int) -> None:
        self._cohort = cohort
        self._threshold = threshold
        #: The paired changes that may be shown.
        self._changes: list[Paired] = []

    def all(self, found: Analysis) -> Analysis:
        # First, because the rows of the results table depend on which changes may be shown.
        proms = tuple(self._prom(prom) for prom in found.proms)
        return Analysis(
            flow=self._flow(found.flow),
            table=tuple(self._row(row) for row in found.table),
            survival=tuple(self._survival(survival) for survival in found.survival),
            nadir=self._distribution(found.nadir),
            nadir_days=self._distribution(found.nadir_days),
            proms=proms,
            grades=self._grades(found.grades),
            evaluable=tuple(self._evaluable(endpoint) for endpoint in found.evaluable),
            not_used=tuple(self._not_used(counted) for counted in found.not_used),
            salvaged=self._proportion(found.salvaged),
            salvage=None,
        )

    def _any_small(self, *counts: int) -> bool:
        return any(is_small(count, self._threshold) for count in counts)

    def _flow(self, flow: Flow) -> Flow:
        lost = {excluded.words: excluded.patients or 0 for excluded in flow.lost}
        procedures = {reason: count or 0 for reason, count in flow.procedures.items()}
        small = self._any_small(sum(lost.values()), flow.cohort)
        shown = {} if small else pool_small(lost, self._threshold)
        return replace(
            flow,
            # Together with the size of the cohort it would disclose how many were excluded.
            candidates=None if small else flow.candidates,
            lost=[Exclusion(words, count) for words, count in shown.items()],
            procedures=dict(pool_small(procedures, self._threshold)),
        )

    def _proportion(self, proportion: Proportion | None) -> Proportion | None:
        if proportion is None:
            return None
        yes, known = proportion.successes, proportion.n
        return None if self._any_small(yes, known - yes, self._cohort - known) else proportion

    def _row(self, row: ResultsRow) -> ResultsRow:
        hidden = replace(row, ours=NOT_SHOWN, counted=None, change=None)
        if row.counted is not None:
            return row if self._proportion(row.counted) is not None else hidden
        if row.change is not None:
            # The label of a change ends with the number of its pairs.
            words = row.words.rpartition(",")[0]
            return row if row.change in self._changes else replace(hidden, words=words)
        return row if not self._any_small(self._cohort) else hidden

    def _survival(self, survival: Survival) -> Survival:
        curve = survival.curve
        if curve is None or not curve.n or self._any_small(curve.n, self._cohort - curve.n):
            return Survival(survival.endpoint, None, None, ())
        small = self._any_small(curve.n_events, curve.n - curve.n_events)
        return Survival(
            survival.endpoint,
            curve.n,
            None if small else curve.n_events,
            () if small else tuple(self._readings(curve, survival.landmarks)),
        )

    def _readings(self, curve: Curve, landmarks: Iterable[Estimate]) -> Iterator[Estimate]:
        """The readings of a curve between which no small group has an event or is censored."""
        # Both are counts of patients with an event, and of censored patients.
        before = (0, 0)
        total = (curve.n_events, curve.n - curve.n_events)
        for estimate in landmarks:
            censored = sum(
                count
                for day, count in zip(curve.days, curve.censored, strict=True)
                if day < estimate.day
            )
            so_far = (curve.n - censored - estimate.at_risk, censored)
            steps = [now - then for now, then in zip(so_far, before, strict=True)]
            left = [end - now for end, now in zip(total, so_far, strict=True)]
            on_the_day = estimate.events - so_far[0]
            counts = (*steps, *left, estimate.at_risk, on_the_day, left[0] - on_the_day)
            if not self._any_small(*counts):
                yield estimate
                before = so_far

    def _distribution(self, values: Distribution | None) -> Distribution | None:
        """Quartiles of at least twice the threshold; never the extremes, which are individual."""
        if values is None or values.n < 2 * self._threshold:
            return None
        if self._any_small(self._cohort - values.n):
            return None
        return replace(values, minimum=None, maximum=None)

    def _paired(self, paired: Paired | None) -> Paired | None:
        if paired is None:
            return None
        change = self._distribution(paired.change)
        if change is None or self._any_small(paired.changed, paired.n - paired.changed):
            return None
        return replace(paired, change=change)

    def _prom(self, prom: Prom) -> Prom:
        points = []
        for point in prom.points:
            completeness = self._proportion(point.completeness)
            scores = self._distribution(point.scores) if completeness is not None else None
            points.append(PromPoint(point.time_point, completeness, scores))
        scored = {
            point.time_point: point.scores.n for point in prom.points if point.scores is not None
        }
        changes = tuple(self._change(change, scored) for change in prom.changes)
        return replace(prom, points=tuple(points), changes=changes)

    def _change(self, change: PromChange, scored: dict[str, int]) -> PromChange:
        """The change if it may be shown; ``scored``: how many patients scored, by time point."""
        paired = self._paired(change.paired)
        if change.paired is not None and paired is not None:
            unpaired = (
                scored.get(point, 0) - change.paired.n for point in (BASELINE, change.time_point)
            )
            if self._any_small(*unpaired):
                paired = None
            else:
                self._changes.append(change.paired)
        responded = None if paired is None else self._responders(change.responders)
        return PromChange(change.time_point, paired, responded)

    def _responders(self, responded: Responders | None) -> Responders | None:
        if responded is None:
            return None
        better, worse = responded.better.successes, responded.worse.successes
        same = responded.better.n - better - worse
        return None if self._any_small(better, worse, same) else responded

    def _grades(self, grades: Grades) -> Grades:
        cells = grades.cells or ()
        columns = zip(*cells, strict=True)
        margins = [[sum(row) for row in cells], [sum(column) for column in columns]]
        small = hides_table([*cells, *margins], self._threshold)
        return Grades((), (), None) if small else grades

    def _evaluable(self, endpoint: Evaluable) -> Evaluable:
        known = endpoint.patients or 0
        if self._any_small(known, self._cohort - known):
            return replace(endpoint, patients=None, absent=())
        reasons = {absence.reason: absence.patients or 0 for absence in endpoint.absent}
        pooled = pool_small(reasons, self._threshold)
        absent = tuple(Absence(reason, count) for reason, count in pooled.items())
        return replace(endpoint, absent=absent)

    def _not_used(self, counted: NotUsedCount) -> NotUsedCount:
        return replace(counted, count=None) if self._any_small(counted.count or 0) else counted
