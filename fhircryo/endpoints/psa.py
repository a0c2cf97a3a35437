"""The PSA series and biochemical failure: nadir plus the protocol's rise, dated "at call".

Sources: Phoenix, Roach et al., Int J Radiat Oncol Biol Phys 2006;65(4):965-74; Stuttgart, Blana et
al., BJU Int 2009;104(8):1058-62. They differ in the rise.
"""

from datetime import date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum
from typing import NamedTuple

import msgspec

from fhircryo.calendar import add_days, moment
from fhircryo.endpoints.recurrence import ClinicalEvents, Event
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import PsaResult, Reason

# Wide enough for any sum of two results as they are read; a lost digit raises.
_EXACT = Context(prec=120, traps=[Inexact, InvalidOperation])
_HALF = Decimal("0.5")


class Judgement(StrEnum):
    """What a post-index result says about failure."""

    NOT_JUDGED = "no nadir before it"
    CLEAR = "clear"
    FAILS = "fails"
    INCONCLUSIVE = "inconclusive"


class SeriesPoint(msgspec.Struct, gc=False):
    """A result of the post-index series; ``value`` is the one used, ng/mL.

    ``nadir``: the running nadir before it; ``threshold``: nadir + rise.
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
    """The PSA after the index procedure, judged.

    ``failure``: the first point that fails; ``nadir``: the lowest up to and including it, the
    earliest among equals; ``clear``: the clear points before it. ``therapy``: the salvage therapy
    that is the failure, where no PSA failed up to it.
    """

    baseline: PsaResult | None
    points: list[SeriesPoint]
    failure: SeriesPoint | None
    nadir: SeriesPoint | None
    clear: list[SeriesPoint]
    therapy: Event | None = None

    @property
    def failed(self) -> bool:
        """Whether a PSA or a salvage therapy is a failure."""
        return self.failure is not None or self.therapy is not None


class _Limits(NamedTuple):
    """The last days on which a PSA is used, is judged, and can be clear; and the failing therapy.

    After the first day on which therapy may have begun PSA shows no freedom from failure; after the
    first by which it had begun, it is PSA after a failure.
    """

    used: date = date.max
    judged: date = date.max
    clear: date = date.max
    failing: Event | None = None


def _limits(line: Timeline, therapies: ClinicalEvents) -> _Limits:
    rule = line.protocol.salvage_therapy
    if rule == "report" or not therapies.known:
        return _Limits()
    first = min(one.when.first for one in therapies.known)
    if rule == "censor":
        return _Limits(used=first)
    failing = min(therapies.known, key=lambda one: one.when.last)
    return _Limits(judged=failing.when.last, clear=first, failing=failing)


def psa_course(line: Timeline, therapies: ClinicalEvents) -> PsaCourse:
    """The judged PSA series of a patient; what is not used is told to the time line."""
    limits = _limits(line, therapies)
    baseline, series = _used(line, limits.used)
    rules = line.protocol.psa
    rise = line.protocol.biochemical_failure.rise
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
        # Below its limit: never a failure, and clear only if the limit itself shows it.
        return Judgement.CLEAR if stated <= threshold else Judgement.INCONCLUSIVE
    if value >= threshold:
        return Judgement.FAILS
    return Judgement.INCONCLUSIVE if comparator == ">" else Judgement.CLEAR


def _value_used(stated: Decimal, comparator: str, rule: str) -> Decimal:
    if comparator != "<" or rule == "limit":
        return stated
    return _EXACT.multiply(stated, _HALF) if rule == "half" else Decimal(0)


def _used(line: Timeline, last_day: date) -> tuple[PsaResult | None, list[PsaResult]]:
    """The baseline PSA and the post-index series in order, up to a last day."""
    d0 = line.d0
    earliest = add_days(d0, -line.protocol.psa.baseline_days)
    before: list[PsaResult] = []
    series: list[PsaResult] = []
    for result in _one_per_moment(line):
        if result.problem is not None:
            # A text that is no result may say anything: it is not repeated.
            said = result.recorded if result.problem is Reason.UNIT else ""
            line.tell(result.ref, result.problem, said)
        elif result.when.first > last_day:
            line.tell(result.ref, Reason.AFTER_SALVAGE_THERAPY)
        elif result.when.first > d0:
            series.append(result)
        elif result.when.first >= earliest:
            before.append(result)
        else:
            line.tell(result.ref, Reason.OUTSIDE_WINDOW, "before the baseline window")
    for result in before[:-1]:
        line.tell(result.ref, Reason.SUPERSEDED, "a later PSA is the baseline")
    return (before[-1] if before else None), series


def _one_per_moment(line: Timeline) -> list[PsaResult]:
    """The results by (date, time, id), of each moment the one that counts."""
    results = [result for result in line.record.psa if line.measured(result.ref, result.when)]
    results.sort(key=lambda result: (*result.when.order, result.ref))
    chosen: list[PsaResult] = []
    for result in results:
        if chosen and chosen[-1].when.order == result.when.order:
            winner, other = _prefer(chosen[-1], result)
            chosen[-1] = winner
            line.tell(other.ref, Reason.SUPERSEDED, f"by {winner.ref}, of the same moment")
        else:
            chosen.append(result)
    return chosen


def _prefer(one: PsaResult, other: PsaResult) -> tuple[PsaResult, PsaResult]:
    """Of two results of the same moment, the one that counts first."""

    def precedence(result: PsaResult) -> tuple[int, bool, datetime, datetime, str]:
        return (
            -result.rank,
            result.problem is None,
            moment(result.issued),
            moment(result.updated),
            result.ref,
        )

    return (one, other) if precedence(one) > precedence(other) else (other, one)
