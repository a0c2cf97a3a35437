"""The PSA series and biochemical failure: nadir + rise, dated "at call".

A result has a lower and an upper bound, so that one known only as a limit (``<1.0``) shows a rise,
or that there is none, only where every value within its bounds does.

Sources: Phoenix, Roach et al., Int J Radiat Oncol Biol Phys 2006;65(4):965-74; Stuttgart, Blana et
al., BJU Int 2009;104(8):1058-62. The two differ in the rise.
"""

from bisect import bisect_left
from collections.abc import Iterable
from datetime import date
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum

import msgspec

from fhircryo.calendar import Span, add_days
from fhircryo.endpoints.events import ClinicalEvents, Event
from fhircryo.endpoints.moments import by_moment
from fhircryo.endpoints.timeline import Timeline
from fhircryo.mapping.protocol import PsaRules
from fhircryo.record.items import EventKind, PsaResult, Reason

# The precision suffices for the sum of any two results that are read; losing a digit raises.
_EXACT = Context(prec=120, traps=[Inexact, InvalidOperation])
_HALF = Decimal("0.5")
_ZERO = Decimal(0)
_BELOW = frozenset({"<", "<="})


class Judgement(StrEnum):
    """The judgement of a result of the series."""

    NOT_JUDGED = "no result before it"
    CLEAR = "clear"
    FAILS = "fails"
    INCONCLUSIVE = "inconclusive"
    CONTRADICTED = "fails, not confirmed by the later result"
    UNCONFIRMED = "fails, neither confirmed nor contradicted"


class SeriesPoint(msgspec.Struct, gc=False):
    """A result of the PSA series, in ng/mL.

    ``lower`` and ``upper``: its bounds (``upper`` None: there is none). ``stand_in``: the value
    that an undetectable result stands for where it is compared with later ones. ``lowest``: of the
    results before it, the one with the lowest upper bound (None: none has one); ``nadir``: that
    bound. ``threshold``: the nadir + rise, at or above which the result fails. ``clear_below``: the
    lowest lower bound before it + rise, below which it is clear.
    """

    result: PsaResult
    lower: Decimal
    upper: Decimal | None
    stand_in: Decimal | None
    lowest: "SeriesPoint | None" = None
    nadir: Decimal | None = None
    threshold: Decimal | None = None
    clear_below: Decimal | None = None
    judgement: Judgement = Judgement.NOT_JUDGED

    @property
    def day(self) -> date:
        """The calendar date of the result."""
        return self.result.when.first

    @property
    def value(self) -> Decimal:
        """The value that the result is shown with: its stand-in, else its number or limit."""
        if self.stand_in is not None:
            return self.stand_in
        return self.lower if self.upper is None else self.upper

    @property
    def comparator(self) -> str:
        """``<`` or ``<=`` where ``value`` is a limit above those of undetectable results."""
        sign = self.result.comparator
        return sign if self.stand_in is None and sign in _BELOW else ""

    @property
    def compared_upper(self) -> Decimal | None:
        """The upper bound with which later results are compared."""
        return self.upper if self.stand_in is None else self.stand_in

    @property
    def compared_lower(self) -> Decimal:
        """The lower bound with which later results are compared."""
        return self.lower if self.stand_in is None else self.stand_in

    def is_below(self, limit: Decimal) -> bool:
        """Return whether the result is certainly below a limit."""
        if self.upper is None:
            return False
        return self.upper < limit or (self.upper == limit and self.result.comparator == "<")


class PsaCourse(msgspec.Struct):
    """The baseline PSA and the judged PSA series.

    ``failure``: the first result that fails and counts. ``nadir``: the result with the lowest upper
    bound up to and including the failure; the earliest among equals. ``clear``, ``inconclusive``,
    ``unconfirmed``: the results so judged before the failure. ``response``: whether the nadir is
    below the baseline PSA (None: not known). ``ended``: the salvage therapy that ended the series.
    """

    baseline: PsaResult | None
    points: list[SeriesPoint]
    failure: SeriesPoint | None = None
    nadir: SeriesPoint | None = None
    clear: list[SeriesPoint] = []
    inconclusive: list[SeriesPoint] = []
    unconfirmed: list[SeriesPoint] = []
    response: bool | None = None
    ended: Event | None = None

    @property
    def interval(self) -> Span | None:
        """The interval of the failure: from the first inconclusive result before it to its day."""
        if self.failure is None:
            return None
        first = self.inconclusive[0].day if self.inconclusive else self.failure.day
        return Span(first, self.failure.day)

    def events(self) -> ClinicalEvents:
        """Return the biochemical failure as an event, and possible failures as possible events.

        Inconclusive results before the failure are part of its interval, not events of their own.
        """
        found = ClinicalEvents([], [], [], [])
        if self.failure is not None and self.interval is not None:
            result = self.failure.result
            found.add(
                Event(
                    EventKind.BIOCHEMICAL_FAILURE,
                    result.ref,
                    self.interval,
                    Reason.INCONCLUSIVE_PSA,
                    value=self.failure.value,
                )
            )
        else:
            found.possible += _possible(self.inconclusive, Reason.INCONCLUSIVE_PSA)
        found.possible += _possible(self.unconfirmed, Reason.UNCONFIRMED)
        found.sort()
        return found


def _possible(points: Iterable[SeriesPoint], reason: Reason) -> list[Event]:
    return [
        Event(
            EventKind.BIOCHEMICAL_FAILURE,
            point.result.ref,
            Span(point.day, point.day),
            reason,
            value=point.value,
        )
        for point in points
    ]


def psa_course(timeline: Timeline, therapies: ClinicalEvents) -> PsaCourse:
    """Return the judged PSA series of a patient; reports to the timeline what is not used."""
    ended = None
    if timeline.protocol.salvage_therapy != "report" and therapies.known:
        ended = min(therapies.known, key=lambda therapy: therapy.when.first)
    last_day = date.max if ended is None else ended.when.first
    baseline, series = _used(timeline, last_day)
    points = [_point(result, timeline.protocol.psa) for result in series]
    course = PsaCourse(baseline, points, None, None, [], [], [], ended=ended)
    _judge_all(course, timeline)
    if baseline is not None and course.nadir is not None:
        course.response = _response(_point(baseline, timeline.protocol.psa), course.nadir)
    return course


def _point(result: PsaResult, rules: PsaRules) -> SeriesPoint:
    """Return a result with its bounds, and its stand-in if it is undetectable."""
    stated = result.value if result.value is not None else _ZERO
    if not result.comparator:
        return SeriesPoint(result, stated, stated, None)
    if result.comparator not in _BELOW:
        return SeriesPoint(result, stated, None, None)
    stand_in = None
    if stated <= rules.nadir_limit_max:
        stand_in = _stand_in(stated, rules.detection_limit)
    return SeriesPoint(result, _ZERO, stated, stand_in)


def _stand_in(limit: Decimal, rule: str) -> Decimal:
    if rule == "limit":
        return limit
    return _EXACT.multiply(limit, _HALF) if rule == "half" else _ZERO


def _judge_all(course: PsaCourse, timeline: Timeline) -> None:
    """Judge the results in order, up to the first failure that counts."""
    rise = timeline.protocol.biochemical_failure.rise
    lowest: SeriesPoint | None = None
    lowest_lower: Decimal | None = None
    for number, point in enumerate(course.points):
        if lowest_lower is not None:
            point.lowest = lowest
            point.clear_below = _EXACT.add(lowest_lower, rise)
            if lowest is not None and lowest.compared_upper is not None:
                point.nadir = lowest.compared_upper
                point.threshold = _EXACT.add(point.nadir, rise)
            point.judgement = _judge(point)
            if point.judgement is Judgement.FAILS and course.failure is None:
                point.judgement = _confirmed(course.points, number, timeline)
        if course.failure is not None:
            continue
        _note(course, point)
        upper = point.compared_upper
        known = None if lowest is None else lowest.compared_upper
        if upper is not None and (known is None or upper < known):
            lowest = point
        lower = point.compared_lower
        lowest_lower = lower if lowest_lower is None else min(lowest_lower, lower)
    course.nadir = lowest


def _note(course: PsaCourse, point: SeriesPoint) -> None:
    """Add a result up to the failure to the results of its judgement."""
    if point.judgement is Judgement.FAILS:
        course.failure = point
    elif point.judgement is Judgement.CLEAR:
        course.clear.append(point)
    elif point.judgement is Judgement.INCONCLUSIVE:
        course.inconclusive.append(point)
    elif point.judgement is Judgement.UNCONFIRMED:
        course.unconfirmed.append(point)


def _judge(point: SeriesPoint) -> Judgement:
    if point.threshold is not None and point.lower >= point.threshold:
        return Judgement.FAILS
    if point.clear_below is not None and point.is_below(point.clear_below):
        return Judgement.CLEAR
    return Judgement.INCONCLUSIVE


def _confirmed(points: list[SeriesPoint], number: int, timeline: Timeline) -> Judgement:
    """Return the judgement of a failing result in the light of the later one that confirms it."""
    point = points[number]
    days = timeline.protocol.biochemical_failure.confirm_days
    if days is None or point.threshold is None:
        return Judgement.FAILS
    earliest = add_days(point.day, days)
    later = bisect_left(points, earliest, lo=number + 1, key=lambda one: one.day)
    if later == len(points):
        return Judgement.UNCONFIRMED
    if points[later].lower >= point.threshold:
        return Judgement.FAILS
    if points[later].is_below(point.threshold):
        return Judgement.CONTRADICTED
    return Judgement.UNCONFIRMED


def _response(baseline: SeriesPoint, nadir: SeriesPoint) -> bool | None:
    """Return whether the nadir is below the baseline PSA, by their own bounds; None: not known."""
    if baseline.lower <= 0 or nadir.upper is None:
        return None
    if nadir.upper < baseline.lower:
        return True
    if baseline.upper is not None and nadir.lower >= baseline.upper:
        return False
    return None


def _used(timeline: Timeline, last_day: date) -> tuple[PsaResult | None, list[PsaResult]]:
    """Return the baseline PSA, and the series in order of time, up to ``last_day``."""
    d0, rules = timeline.d0, timeline.protocol.psa
    earliest = add_days(d0, -rules.baseline_days)
    begin = add_days(d0, rules.first_days)
    before: list[PsaResult] = []
    series: list[PsaResult] = []
    for result in _one_per_moment(timeline):
        if result.problem is not None:
            # A text that is not a result may contain anything, so it is not quoted.
            detail = result.recorded if result.problem is Reason.UNIT else ""
            timeline.report(result.ref, result.problem, detail)
        elif d0 < result.when.first < begin:
            timeline.report(result.ref, Reason.EARLY_PSA)
        elif result.when.first > last_day:
            timeline.report(result.ref, Reason.AFTER_SALVAGE_THERAPY)
        elif result.when.first > d0:
            series.append(result)
        elif result.when.first >= earliest:
            before.append(result)
        else:
            timeline.report(result.ref, Reason.OUTSIDE_WINDOW, "before the baseline window")
    for result in before[:-1]:
        timeline.report(result.ref, Reason.SUPERSEDED, "a later PSA is the baseline")
    return (before[-1] if before else None), series


def _one_per_moment(timeline: Timeline) -> list[PsaResult]:
    """Return the results in order of date, time and id; one result per date and time."""
    results = [
        result for result in timeline.record.psa if timeline.measured(result.ref, result.when)
    ]
    chosen: list[PsaResult] = []
    for winner, others in by_moment(results):
        chosen.append(winner)
        for other in others:
            timeline.report(other.ref, Reason.SUPERSEDED, f"by {winner.ref}, of the same moment")
    return chosen
