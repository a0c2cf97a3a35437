"""PSA results in words: how each was judged, and which bound decided."""

from collections.abc import Iterator
from decimal import Decimal

from fhircryo.calendar import Span
from fhircryo.endpoints.psa import Judgement, PsaCourse, SeriesPoint
from fhircryo.endpoints.timeline import Timeline
from fhircryo.publish.shapes import ENCODER, number
from fhircryo.record.items import PsaResult, Reason

#: The reasons for which a result near the series is left out, and what the time line says then.
_LEFT_OUT = {
    Reason.EARLY_PSA: "not used: too soon after the index procedure, the series begins on D0 +"
    " {first_days} days (early-psa)",
    Reason.AFTER_SALVAGE_THERAPY: "not used: after salvage therapy, which ended the series"
    " (after-salvage-therapy)",
    Reason.UNIT: "not used: its unit is missing or unknown (unit)",
    Reason.VALUE: "not used: no usable value (value)",
}


def psa_happenings(line: Timeline, course: PsaCourse) -> Iterator[tuple[Span, str, str, bool]]:
    """The day, the words and the resource of each PSA result, and whether it is the baseline.

    Results that are not used are among them, where a reader would look for them in the series.
    """
    baseline = course.baseline
    if baseline is not None:
        yield baseline.when, f"PSA {recorded_words(baseline)}: baseline", baseline.ref, True
    for point in course.points:
        yield point.result.when, _point_words(point, course), point.result.ref, False
    reasons = {issue.ref: issue.reason for issue in line.issues if not issue.used}
    for result in line.record.psa:
        reason = reasons.get(result.ref)
        if reason in _LEFT_OUT:
            shown = _LEFT_OUT[reason].format(first_days=line.protocol.psa.first_days)
            yield result.when, f"PSA {recorded_words(result)}: {shown}", result.ref, False


def failure_words(course: PsaCourse) -> Iterator[str]:
    """Which bound decided about the biochemical failure."""
    failure = course.failure
    if failure is not None and failure.threshold is not None and failure.lowest is not None:
        least = "at least " if failure.result.comparator else ""
        most = "at most " if failure.lowest.result.comparator else ""
        yield (
            f"{least}{_number(failure.lower)} ng/mL is at or above {_number(failure.threshold)}:"
            f" the nadir was {most}{_number(failure.nadir)}"
        )
        if course.inconclusive:
            yield (
                f"an inconclusive PSA came before it: the failure was between"
                f" {course.inconclusive[0].day} and {failure.day}"
            )
        return
    for point in (*course.inconclusive, *course.unconfirmed):
        yield f"{point.day}: {_judgement_words(point)}"


def recorded_words(result: PsaResult) -> str:
    """A result as recorded, followed by its value in ng/mL if it was recorded in another way."""
    if result.value is None or result.problem is not None:
        # A text that is not a result may contain anything, so it is not quoted.
        return result.recorded if result.problem is Reason.UNIT else "without a usable value"
    if result.measured == result.value and result.unit == "ng/mL":
        return result.recorded
    return f"{result.recorded} (= {result.comparator}{_number(result.value)} ng/mL)"


def _point_words(point: SeriesPoint, course: PsaCourse) -> str:
    words = f"PSA {recorded_words(point.result)}"
    if point.stand_in is not None and point.result.value != point.stand_in:
        words += f", undetectable: stands for {_number(point.stand_in)}"
    if point.nadir is not None:
        limit = point.lowest.comparator if point.lowest is not None else ""
        words += f"; nadir {limit}{_number(point.nadir)}, threshold {_number(point.threshold)}"
    words += f": {_judgement_words(point)}"
    failure, therapy = course.failure, course.ended
    if point is failure:
        words += ", biochemical failure"
    elif failure is not None and point.day > failure.day:
        words += " (after the failure)"
    elif therapy is not None and point.day > therapy.when.first:
        words += " (after salvage therapy)"
    return words


def _judgement_words(point: SeriesPoint) -> str:
    """The judgement; of one that was decided by a limit, with the bounds."""
    if point.judgement is not Judgement.INCONCLUSIVE:
        return str(point.judgement)
    if point.upper is None:
        range_words = f"it is at least {_number(point.lower)}"
    elif point.lower == point.upper:
        range_words = f"it is {_number(point.lower)}"
    else:
        range_words = f"it may be anything from {_number(point.lower)} to {_number(point.upper)}"
    if point.threshold is None:
        return f"inconclusive: {range_words}, and no result before it has an upper bound"
    return (
        f"inconclusive: {range_words}; it fails from {_number(point.threshold)} on and is clear"
        f" below {_number(point.clear_below)}"
    )


def _number(value: Decimal | None) -> str:
    return "?" if value is None else ENCODER.encode(number(value)).decode()
