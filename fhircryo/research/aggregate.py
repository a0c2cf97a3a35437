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
    Analysis,
    Grades,
    NotUsedCount,
    Prom,
    PromChange,
    PromPoint,
    Unmarked,
)
from fhircryo.research.baseline_summary import BaselineRow, Level
from fhircryo.research.complication_summary import ComplicationSummary, GradedShare, KindCount
from fhircryo.research.disease_free_rates import DiseaseFreeRate
from fhircryo.research.evaluable import Absence, Evaluable
from fhircryo.research.flow import Exclusion, Flow
from fhircryo.research.results_table import ResultsRow
from fhircryo.research.statistics.distribution import Distribution
from fhircryo.research.statistics.kaplan_meier import Curve, Estimate
from fhircryo.research.statistics.paired import Paired
from fhircryo.research.statistics.proportions import Proportion
from fhircryo.research.statistics.responders import Responders
from fhircryo.research.statistics.suppress import hides_table, is_small, pool_small
from fhircryo.research.survival import Survival

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
            baseline=tuple(self._baseline(row) for row in found.baseline),
            table=tuple(self._row(row) for row in found.table),
            disease_free=self._disease_free(found.disease_free),
            survival=tuple(self._survival(survival) for survival in found.survival),
            nadir=self._distribution(found.nadir),
            nadir_days=self._distribution(found.nadir_days),
            proms=proms,
            complications=self._complications(found.complications),
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
        if not survival.estimable:
            return replace(survival, patients=None, events=None)
        curve = survival.curve
        if curve is None or not curve.n or self._any_small(curve.n, self._cohort - curve.n):
            return Survival(survival.endpoint, survival.words, None, None, (), intervals=None)
        small = self._any_small(curve.n_events, curve.n - curve.n_events)
        intervals = survival.intervals or 0
        hidden = small or self._any_small(intervals, curve.n_events - intervals)
        # Beside the readings, those at the bounds would tell how few events lie between them.
        return Survival(
            survival.endpoint,
            survival.words,
            curve.n,
            None if small else curve.n_events,
            () if small else tuple(self._readings(curve, survival.landmarks)),
            intervals=None if hidden else intervals,
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
        shown = paired is not None
        unmarked = tuple(self._unmarked(one, change_shown=shown) for one in change.unmarked)
        return PromChange(change.time_point, paired, responded, unmarked)

    def _unmarked(self, unmarked: Unmarked, *, change_shown: bool) -> Unmarked:
        if not change_shown or self._any_small(unmarked.marked or 0):
            return replace(unmarked, marked=None, paired=None)
        return replace(unmarked, paired=self._paired(unmarked.paired))

    def _responders(self, responded: Responders | None) -> Responders | None:
        if responded is None:
            return None
        better, worse = responded.better.successes, responded.worse.successes
        same = responded.better.n - better - worse
        return None if self._any_small(better, worse, same) else responded

    def _baseline(self, row: BaselineRow) -> BaselineRow:
        """A characteristic if neither its missing values nor one of its levels is a small group."""
        known, missing = row.known or 0, row.missing or 0
        if self._any_small(known, missing):
            return BaselineRow(row.words, None, None)
        values = row.values if row.levels else self._distribution(row.values)
        levels = [level.counted for level in row.levels if level.counted is not None]
        if any(self._any_small(one.successes, one.n - one.successes) for one in levels):
            return replace(row, values=values, levels=tuple(_hidden(row.levels)))
        return replace(row, values=values)

    def _disease_free(self, rates: tuple[DiseaseFreeRate, ...]) -> tuple[DiseaseFreeRate, ...]:
        """The rates without those that differ from another, which is shown, by a small group.

        The protocol's own rate goes first, because the results show it as well.
        """
        shown: list[Proportion] = []
        hidden: dict[str, DiseaseFreeRate] = {}
        for rate in sorted(rates, key=lambda rate: not rate.in_protocol):
            reasons = {absence.reason: absence.patients or 0 for absence in rate.absent}
            pooled = pool_small(reasons, self._threshold) if rate.in_protocol else {}
            hidden[rate.rule] = replace(
                rate,
                rate=self._unlike(rate.rate, shown),
                with_no_response=self._unlike(rate.with_no_response, shown),
                absent=tuple(Absence(reason, count) for reason, count in pooled.items()),
            )
        return tuple(hidden[rate.rule] for rate in rates)

    def _unlike(self, counted: Proportion | None, shown: list[Proportion]) -> Proportion | None:
        """A proportion if it may be shown beside others, to which it is then added."""
        if counted is None or self._proportion(counted) is None:
            return None
        for other in shown:
            yes, known = counted.successes - other.successes, counted.n - other.n
            if self._any_small(abs(yes), abs(known), abs(known - yes)):
                return None
        shown.append(counted)
        return counted

    def _complications(self, found: ComplicationSummary) -> ComplicationSummary:
        return replace(
            found,
            kinds=tuple(self._kind(kind) for kind in found.kinds),
            shares=tuple(self._graded(share) for share in found.shares),
        )

    def _kind(self, kind: KindCount) -> KindCount:
        small = self._any_small(kind.events or 0, kind.patients or 0)
        return KindCount(kind.kind, kind.words, None, None) if small else kind

    def _graded(self, share: GradedShare) -> GradedShare:
        left_out = share.left_out or 0
        absent = sum(absence.patients or 0 for absence in share.absent)
        shown = None if self._any_small(left_out, absent - left_out) else left_out
        return replace(share, counted=self._proportion(share.counted), left_out=shown, absent=())

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


def _hidden(levels: Iterable[Level]) -> Iterator[Level]:
    return (replace(level, counted=None) for level in levels)
