"""PSA nadir and biochemical failure."""

from fhircryo.endpoints.catalogue import BIOCHEMICAL_FAILURE, PSA_NADIR
from fhircryo.endpoints.events import first_reason
from fhircryo.endpoints.patient_course import PatientCourse
from fhircryo.endpoints.psa import PsaCourse, SeriesPoint
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


def psa_evidence(role: Role, point: SeriesPoint) -> Evidence:
    """Return a PSA result as evidence for a result, in ng/mL."""
    return Evidence(role, point.result.ref, point.value, point.day)


def psa_nadir(course: PatientCourse) -> Result:
    """Return ``psa-nadir``: the lowest PSA up to and including the failure, in ng/mL.

    Its components say whether it is below the baseline PSA, and how many days after D0 it is.
    """
    d0, psa = course.line.d0, course.psa
    nadir = psa.nadir
    if nadir is None:
        return absent(PSA_NADIR, (d0, None), Absent.UNKNOWN, Reason.TOO_FEW_PSA)
    components = [ResultComponent(ComponentKey.DAYS_TO_NADIR, (nadir.day - d0).days)]
    evidence = [psa_evidence(Role.NADIR, nadir)]
    if psa.response is not None and psa.baseline is not None:
        components.insert(0, ResultComponent(ComponentKey.PSA_RESPONSE, psa.response))
        before = psa.baseline
        value = before.value if before.value is not None else ""
        evidence.append(Evidence(Role.BASELINE_PSA, before.ref, value, before.when.first))
    return Result(
        PSA_NADIR,
        nadir.day,
        nadir.day,
        final=psa.failure is not None,
        value=nadir.value,
        comparator=nadir.comparator,
        components=tuple(components),
        evidence=tuple(evidence),
    )


def biochemical_failure(course: PatientCourse) -> Result:
    """Return ``biochemical-failure``: yes at the first PSA that fails, no, or absent.

    No needs a clear result, and no failing or inconclusive one. Where salvage therapy ends the PSA
    series, a possible salvage therapy leaves a no open.
    """
    d0, psa = course.line.d0, course.psa
    if psa.failure is not None:
        return _failed(psa, psa.failure)

    def unknown(reason: Reason, *evidence: Evidence) -> Result:
        return absent(BIOCHEMICAL_FAILURE, (d0, None), Absent.UNKNOWN, reason, evidence)

    possible, therapies = course.failures.possible, course.doubtful_therapies
    if psa.inconclusive or (possible and not psa.clear):
        found = (event.evidence(Role.INCONCLUSIVE_PSA) for event in possible)
        return unknown(first_reason(possible), *found)
    if not psa.clear or psa.nadir is None:
        return unknown(Reason.TOO_FEW_PSA)
    # A clear result would make it a no, were it not for unconfirmed failures and possible therapy.
    doubts = [*possible, *therapies]
    if doubts:
        vague = (event.evidence(Role.VAGUE_EVENT) for event in doubts)
        return unknown(first_reason(doubts), *vague)
    last = psa.clear[-1]
    return Result(
        BIOCHEMICAL_FAILURE,
        d0,
        last.day,
        final=False,
        value=False,
        period=True,
        components=(_nadir_component(psa.nadir),),
        evidence=_with_nadir(psa, psa_evidence(Role.CLEAR_PSA, last)),
    )


def _failed(psa: PsaCourse, failure: SeriesPoint) -> Result:
    components = [ResultComponent(ComponentKey.FAILING_PSA, failure.value)]
    if failure.lowest is not None and failure.threshold is not None:
        nadir = _nadir_component(failure.lowest)
        components = [
            nadir,
            ResultComponent(ComponentKey.THRESHOLD, failure.threshold),
            *components,
        ]
    return Result(
        BIOCHEMICAL_FAILURE,
        failure.day,
        failure.day,
        final=True,
        value=True,
        components=tuple(components),
        evidence=_with_nadir(psa, psa_evidence(Role.FAILING_PSA, failure)),
    )


def _nadir_component(nadir: SeriesPoint) -> ResultComponent:
    return ResultComponent(ComponentKey.NADIR, nadir.value, nadir.comparator)


def _with_nadir(psa: PsaCourse, deciding: Evidence) -> tuple[Evidence, ...]:
    nadir = psa.nadir
    if nadir is None or nadir.result.ref == deciding.ref:
        return (deciding,)
    return (psa_evidence(Role.NADIR, nadir), deciding)
