"""PSA nadir, biochemical failure and the time to it."""

from fhircryo.endpoints.catalogue import BIOCHEMICAL_FAILURE, PSA_NADIR, TIME_TO_FAILURE
from fhircryo.endpoints.psa import PsaCourse, SeriesPoint
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
        final=course.failure is not None,
        value=nadir.value,
        evidence=(psa_evidence(Role.NADIR, nadir),),
    )


def biochemical_failure(line: Timeline, course: PsaCourse) -> Result:
    """Yes at the first PSA that fails; no if one is clear and none fails."""
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
    if course.clear and nadir is not None:
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
    return absent(BIOCHEMICAL_FAILURE, (line.d0, None), Absent.UNKNOWN, Reason.TOO_FEW_PSA)


def time_to_failure(line: Timeline, course: PsaCourse) -> Result:
    """Days from D0 to the failure, else to the last clear PSA, censored."""
    failure = course.failure
    last = failure or (course.clear[-1] if course.clear else None)
    if last is None:
        return absent(TIME_TO_FAILURE, (line.d0, None), Absent.UNKNOWN, Reason.TOO_FEW_PSA)
    role = Role.CLEAR_PSA if failure is None else Role.FAILING_PSA
    return Result(
        TIME_TO_FAILURE,
        last.day,
        last.day,
        final=failure is not None,
        value=(last.day - line.d0).days,
        components=(Component(Part.EVENT, failure is not None),),
        evidence=(psa_evidence(role, last),),
    )


def _with_nadir(course: PsaCourse, deciding: Evidence) -> tuple[Evidence, ...]:
    nadir = course.nadir
    if nadir is None or nadir.result.ref == deciding.ref:
        return (deciding,)
    return (psa_evidence(Role.NADIR, nadir), deciding)
