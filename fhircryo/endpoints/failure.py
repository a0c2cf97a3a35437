"""PSA nadir, biochemical failure and time to biochemical failure."""

from datetime import date

from fhircryo.endpoints.catalogue import BIOCHEMICAL_FAILURE, PSA_NADIR, TIME_TO_FAILURE
from fhircryo.endpoints.psa import PsaCourse, SeriesPoint
from fhircryo.endpoints.recurrence import ClinicalEvents, Event, may_precede, uncertainty_reason
from fhircryo.endpoints.result import (
    Absent,
    ComponentKey,
    Evidence,
    Reason,
    Result,
    ResultComponent,
    Role,
    absent,
)
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import EventKind, Lacking


def psa_evidence(role: Role, point: SeriesPoint) -> Evidence:
    """Return a PSA result as evidence for a result, in ng/mL."""
    return Evidence(role, point.result.ref, point.value, point.day)


def psa_nadir(timeline: Timeline, course: PsaCourse) -> Result:
    """Return ``psa-nadir``: the lowest PSA up to and including the failure, in ng/mL."""
    nadir = course.nadir
    if nadir is None:
        return absent(PSA_NADIR, (timeline.d0, None), Absent.UNKNOWN, Reason.TOO_FEW_PSA)
    return Result(
        PSA_NADIR,
        nadir.day,
        nadir.day,
        final=course.failed,
        value=nadir.value,
        evidence=(psa_evidence(Role.NADIR, nadir),),
    )


def failure_event(course: PsaCourse) -> list[Event]:
    """Return the biochemical failure as an event: a list of one event, or of none."""
    if course.failure is None:
        return []
    result = course.failure.result
    return [Event(EventKind.BIOCHEMICAL_FAILURE, result.ref, result.when)]


def biochemical_failure(
    timeline: Timeline, course: PsaCourse, therapies: ClinicalEvents, lacking: Lacking
) -> Result:
    """Return ``biochemical-failure``.

    Yes at the first PSA that fails; no if at least one is clear and none fails. ``therapies``: the
    salvage therapies that are events, and the possible ones.
    """
    failure, nadir = course.failure, course.nadir
    if failure is not None and failure.nadir is not None and failure.threshold is not None:
        return Result(
            BIOCHEMICAL_FAILURE,
            failure.day,
            failure.day,
            final=True,
            value=True,
            components=(
                ResultComponent(ComponentKey.NADIR, failure.nadir),
                ResultComponent(ComponentKey.THRESHOLD, failure.threshold),
                ResultComponent(ComponentKey.FAILING_PSA, failure.value),
            ),
            evidence=_with_nadir(course, psa_evidence(Role.FAILING_PSA, failure)),
        )
    if course.therapy is not None:
        return _failure_by_therapy(course, course.therapy)
    if not course.clear or nadir is None:
        return absent(BIOCHEMICAL_FAILURE, (timeline.d0, None), Absent.UNKNOWN, Reason.TOO_FEW_PSA)
    unknown = _unknown(therapies.possible, lacking)
    if unknown is not None:
        evidence = (event.evidence(Role.VAGUE_EVENT) for event in therapies.possible)
        return absent(BIOCHEMICAL_FAILURE, (timeline.d0, None), Absent.UNKNOWN, unknown, evidence)
    last = course.clear[-1]
    return Result(
        BIOCHEMICAL_FAILURE,
        timeline.d0,
        last.day,
        final=False,
        value=False,
        period=True,
        components=(ResultComponent(ComponentKey.NADIR, nadir.value),),
        evidence=_with_nadir(course, psa_evidence(Role.CLEAR_PSA, last)),
    )


def _failure_by_therapy(course: PsaCourse, therapy: Event) -> Result:
    """Return a failure by salvage therapy, without a failing PSA."""
    nadir = course.nadir
    found = () if nadir is None else (ResultComponent(ComponentKey.NADIR, nadir.value),)
    return Result(
        BIOCHEMICAL_FAILURE,
        therapy.when.first,
        therapy.when.last,
        final=True,
        value=True,
        period=not therapy.when.precise,
        components=(*found, ResultComponent(ComponentKey.SALVAGE_THERAPY, therapy.when)),
        evidence=_with_nadir(course, therapy.evidence(Role.EVENT)),
    )


def _unknown(possible: list[Event], lacking: Lacking) -> Reason | None:
    """Return why freedom from failure is not known although PSA shows it; None if it is known."""
    if possible:
        return uncertainty_reason(possible)
    return Reason.SOURCE_LACKS_TYPE if lacking.medications else None


def time_to_failure(
    timeline: Timeline, course: PsaCourse, therapies: ClinicalEvents, lacking: Lacking
) -> Result:
    """Return ``time-to-biochemical-failure``: days from D0 to the failure.

    Without a failure the time is censored at the last clear PSA.
    """
    precise = [*failure_event(course), *therapies.precise]
    first = min(precise, key=lambda event: event.when.first, default=None)
    uncertain = [*therapies.intervals, *therapies.possible]
    if may_precede(uncertain, first):
        found = (event.evidence(Role.VAGUE_EVENT) for event in uncertain)
        reason = uncertainty_reason(uncertain)
        return absent(TIME_TO_FAILURE, (timeline.d0, None), Absent.UNKNOWN, reason, found)
    if first is not None:
        by_psa = course.failure if first.kind is EventKind.BIOCHEMICAL_FAILURE else None
        evidence = (
            first.evidence(Role.EVENT) if by_psa is None else psa_evidence(Role.FAILING_PSA, by_psa)
        )
        return _days(timeline, first.when.first, evidence, event=True)
    if not course.clear:
        return absent(TIME_TO_FAILURE, (timeline.d0, None), Absent.UNKNOWN, Reason.TOO_FEW_PSA)
    if lacking.medications:
        reason = Reason.SOURCE_LACKS_TYPE
        return absent(TIME_TO_FAILURE, (timeline.d0, None), Absent.UNKNOWN, reason)
    last = course.clear[-1]
    return _days(timeline, last.day, psa_evidence(Role.CLEAR_PSA, last), event=False)


def _days(timeline: Timeline, day: date, evidence: Evidence, *, event: bool) -> Result:
    return Result(
        TIME_TO_FAILURE,
        day,
        day,
        final=event,
        value=(day - timeline.d0).days,
        components=(ResultComponent(ComponentKey.EVENT, event),),
        evidence=(evidence,),
    )


def _with_nadir(course: PsaCourse, deciding: Evidence) -> tuple[Evidence, ...]:
    nadir = course.nadir
    if nadir is None or nadir.result.ref == deciding.ref:
        return (deciding,)
    return (psa_evidence(Role.NADIR, nadir), deciding)
