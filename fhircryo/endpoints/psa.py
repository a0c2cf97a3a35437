"""The PSA series and biochemical failure: nadir + rise, dated "at call".

Sources: Phoenix, Roach et al., Int J Radiat Oncol Biol Phys 2006;65(4):965-74; Stuttgart, Blana et
al., BJU Int 2009;104(8):1058-62. The two differ in the rise.
"""

from datetime import date
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum
from typing import NamedTuple

import msgspec

from fhircryo.calendar import add_days
from fhircryo.endpoints.moments import by_moment
from fhircryo.endpoints.recurrence import ClinicalEvents, Event
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import PsaResult, Reason

# The precision suffices for the sum of any two results that are read; losing a digit raises.
_EXACT = Context(prec=120, traps=[Inexact, InvalidOperation])
_HALF = Decimal("0.5")


class Judgement(StrEnum):
    """The judgement of a result of the series."""

    NOT_JUDGED = "no nadir before it"
    CLEAR = "clear"
    FAILS = "fails"
    INCONCLUSIVE = "inconclusive"


class SeriesPoint(msgspec.Struct, gc=False):
    """A result of the PSA series, in ng/mL.

    ``value``: the value used for it. ``nadir``: the lowest value before it. ``threshold``: that
    nadir + rise (None: no result before it can be the nadir).
    """

    result: PsaResult
    value: Decimal
    nadir: Decimal | None
    threshold: Decimal | None
    judgement: Judgement

    @property
    def day(self) -> date:
        """The calendar date of the result."""
        return self.result.when.first


class PsaCourse(msgspec.Struct):
    """The baseline PSA and the judged PSA series.

    ``failure``: the first result that fails. ``nadir``: the lowest result up to and including the
    failure; the earliest among equals. ``clear``: the clear results before the failure.
    ``therapy``: the salvage therapy that is the failure, if no PSA failed up to it.
    """

    baseline: PsaResult | None
    points: list[SeriesPoint]
    failure: SeriesPoint | None
    nadir: SeriesPoint | None
    clear: list[SeriesPoint]
    therapy: Event | None = None

    @property
    def failed(self) -> bool:
        """Whether a PSA result or a salvage therapy is a failure."""
        return self.failure is not None or self.therapy is not None


class _Limits(NamedTuple):
    """The effect of salvage therapy on the PSA series.

    ``used``: the last day of the series. ``judged``: the last day on which a result is judged.
    ``clear``: the last day on which a result can be clear. ``failing``: the therapy that is a
    failure.

    PSA after the first day on which therapy may have begun does not show freedom from failure. PSA
    after the first day by which therapy had certainly begun is PSA after a failure.
    """

    used: date = date.max
    judged: date = date.max
    clear: date = date.max
    failing: Event | None = None


def _limits(timeline: Timeline, therapies: ClinicalEvents) -> _Limits:
    rule = timeline.protocol.salvage_therapy
    if rule == "report" or not therapies.known:
        return _Limits()
    first = min(therapy.when.first for therapy in therapies.known)
    if rule == "censor":
        return _Limits(used=first)
    failing = min(therapies.known, key=lambda therapy: therapy.when.last)
    return _Limits(judged=failing.when.last, clear=first, failing=failing)


def psa_course(timeline: Timeline, therapies: ClinicalEvents) -> PsaCourse:
    """Return the judged PSA series of a patient; reports to the timeline what is not used."""
    limits = _limits(timeline, therapies)
    baseline, series = _used(timeline, limits.used)
    rules = timeline.protocol.psa
    rise = timeline.protocol.biochemical_failure.rise
    points: list[SeriesPoint] = []
    clear: list[SeriesPoint] = []
    failure = lowest = nadir = None
    threshold: Decimal | None = None
    for result in series:
        stated = result.value
        if stated is None:
            continue
        value = _value_used(stated, result.comparator, rules.detection_limit)
        judgement = Judgement.NOT_JUDGED
        if threshold is not None:
            judgement = _judge(value, stated, result.comparator, threshold)
        point = SeriesPoint(result, value, nadir, threshold, judgement)
        points.append(point)
        can_be_nadir = result.comparator != ">" and (
            result.comparator != "<" or stated <= rules.nadir_limit_max
        )
        if failure is not None or point.day > limits.judged:
            continue
        if judgement is Judgement.CLEAR and point.day <= limits.clear:
            clear.append(point)
        elif judgement is Judgement.FAILS:
            failure = point
        if can_be_nadir and (nadir is None or value < nadir):
            lowest, nadir = point, value
            threshold = _EXACT.add(nadir, rise)
    therapy = limits.failing if failure is None else None
    return PsaCourse(baseline, points, failure, lowest, clear, therapy)


def _judge(value: Decimal, stated: Decimal, comparator: str, threshold: Decimal) -> Judgement:
    if comparator == "<":
        # A result below a limit never fails; it is clear only if the limit is within the threshold.
        return Judgement.CLEAR if stated <= threshold else Judgement.INCONCLUSIVE
    if value >= threshold:
        return Judgement.FAILS
    return Judgement.INCONCLUSIVE if comparator == ">" else Judgement.CLEAR


def _value_used(stated: Decimal, comparator: str, rule: str) -> Decimal:
    if comparator != "<" or rule == "limit":
        return stated
    return _EXACT.multiply(stated, _HALF) if rule == "half" else Decimal(0)


def _used(timeline: Timeline, last_day: date) -> tuple[PsaResult | None, list[PsaResult]]:
    """Return the baseline PSA, and the series in order of time, up to ``last_day``."""
    d0 = timeline.d0
    earliest = add_days(d0, -timeline.protocol.psa.baseline_days)
    before: list[PsaResult] = []
    series: list[PsaResult] = []
    for result in _one_per_moment(timeline):
        if result.problem is not None:
            # A text that is not a result may contain anything, so it is not quoted.
            detail = result.recorded if result.problem is Reason.UNIT else ""
            timeline.report(result.ref, result.problem, detail)
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
