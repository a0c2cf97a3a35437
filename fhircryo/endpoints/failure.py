"""PSA nadir, biochemical failure and the time to it."""

from datetime import date

from fhircryo.endpoints.catalogue import BIOCHEMICAL_FAILURE, PSA_NADIR, TIME_TO_FAILURE
from fhircryo.endpoints.psa import PsaCourse, SeriesPoint
from fhircryo.endpoints.recurrence import ClinicalEvents, Event, may_precede, vague_reason
from fhircryo.endpoints.result import (
    Absent,
    Component,
    Evidence,
    Part,
    Reason,
    Result,
    Role,
    absent,
)
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import Kind, Lacking


def psa_evidence(role: Role, point: SeriesPoint) -> Evidence:
    """A PSA result as evidence, in ng/mL."""
    return Evidence(role, point.result.ref, point.value, point.day)


def psa_nadir(line: Timeline, course: PsaCourse) -> Result:
    """The lowest PSA of the series up to and including the failure, in ng/mL."""
    nadir = course.nadir
    if nadir is None:
        return absent(PSA_NADIR, (line.d0, None), Absent.UNKNOWN, Reason.TOO_FEW_PSA)
    return Result(
        PSA_NADIR,
        nadir.day,
        nadir.day,
        final=course.failed,
        value=nadir.value,
        evidence=(psa_evidence(Role.NADIR, nadir),),
    )


def failure_event(course: PsaCourse) -> list[Event]:
    """The biochemical failure as an event among the others."""
    if course.failure is None:
        return []
    result = course.failure.result
    return [Event(Kind.BIOCHEMICAL_FAILURE, result.ref, result.when)]


def biochemical_failure(
    line: Timeline, course: PsaCourse, therapies: ClinicalEvents, lacking: Lacking
) -> Result:
    """Yes at the first PSA that fails; no if one is clear and none fails.

    ``therapies``: the salvage therapies that count as a failure, or may.
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
                Component(Part.NADIR, failure.nadir),
                Component(Part.THRESHOLD, failure.threshold),
                Component(Part.FAILING_PSA, failure.value),
            ),
            evidence=_with_nadir(course, psa_evidence(Role.FAILING_PSA, failure)),
        )
    if course.therapy is not None:
        return _failure_by_therapy(course, course.therapy)
    if not course.clear or nadir is None:
        return absent(BIOCHEMICAL_FAILURE, (line.d0, None), Absent.UNKNOWN, Reason.TOO_FEW_PSA)
    unknown = _not_known(therapies.possible, lacking)
    if unknown is not None:
        vague = (event.evidence(Role.VAGUE_EVENT) for event in therapies.possible)
        return absent(BIOCHEMICAL_FAILURE, (line.d0, None), Absent.UNKNOWN, unknown, vague)
    last = course.clear[-1]
    return Result(
        BIOCHEMICAL_FAILURE,
        line.d0,
        last.day,
        final=False,
        value=False,
        period=True,
        components=(Component(Part.NADIR, nadir.value),),
        evidence=_with_nadir(course, psa_evidence(Role.CLEAR_PSA, last)),
    )


def _failure_by_therapy(course: PsaCourse, therapy: Event) -> Result:
    """A failure without a failing PSA."""
    nadir = course.nadir
    found = () if nadir is None else (Component(Part.NADIR, nadir.value),)
    return Result(
        BIOCHEMICAL_FAILURE,
        therapy.when.first,
        therapy.when.last,
        final=True,
        value=True,
        period=not therapy.when.precise,
        components=(*found, Component(Part.SALVAGE_THERAPY, therapy.when)),
        evidence=_with_nadir(course, therapy.evidence(Role.EVENT)),
    )


def _not_known(vague: list[Event], lacking: Lacking) -> Reason | None:
    """Why freedom from failure is not known, though PSA shows it."""
    if vague:
        return vague_reason(vague)
    return Reason.SOURCE_LACKS_TYPE if lacking.medications else None


def time_to_failure(
    line: Timeline, course: PsaCourse, therapies: ClinicalEvents, lacking: Lacking
) -> Result:
    """Days from D0 to the failure, else to the last clear PSA, censored."""
    precise = [*failure_event(course), *therapies.precise]
    first = min(precise, key=lambda event: event.when.first, default=None)
    vague = [*therapies.intervals, *therapies.possible]
    if may_precede(vague, first):
        told = (event.evidence(Role.VAGUE_EVENT) for event in vague)
        reason = vague_reason(vague)
        return absent(TIME_TO_FAILURE, (line.d0, None), Absent.UNKNOWN, reason, told)
    if first is not None:
        by_psa = course.failure if first.kind is Kind.BIOCHEMICAL_FAILURE else None
        evidence = (
            first.evidence(Role.EVENT) if by_psa is None else psa_evidence(Role.FAILING_PSA, by_psa)
        )
        return _days(line, first.when.first, evidence, event=True)
    if not course.clear:
        return absent(TIME_TO_FAILURE, (line.d0, None), Absent.UNKNOWN, Reason.TOO_FEW_PSA)
    if lacking.medications:
        reason = Reason.SOURCE_LACKS_TYPE
        return absent(TIME_TO_FAILURE, (line.d0, None), Absent.UNKNOWN, reason)
    last = course.clear[-1]
    return _days(line, last.day, psa_evidence(Role.CLEAR_PSA, last), event=False)


def _days(line: Timeline, day: date, evidence: Evidence, *, event: bool) -> Result:
    return Result(
        TIME_TO_FAILURE,
        day,
        day,
        final=event,
        value=(day - line.d0).days,
        components=(Component(Part.EVENT, event),),
        evidence=(evidence,),
    )


def _with_nadir(course: PsaCourse, deciding: Evidence) -> tuple[Evidence, ...]:
    nadir = course.nadir
    if nadir is None or nadir.result.ref == deciding.ref:
        return (deciding,)
    return (psa_evidence(Role.NADIR, nadir), deciding)
