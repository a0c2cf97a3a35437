"""Disease-free at the landmark (12 months): the seven rules, the first that applies."""

from datetime import date

from fhircryo.calendar import add_months
from fhircryo.endpoints.catalogue import DISEASE_FREE
from fhircryo.endpoints.failure import failure_event, psa_evidence
from fhircryo.endpoints.psa import PsaCourse
from fhircryo.endpoints.recurrence import ClinicalEvents, Event, vague_reason
from fhircryo.endpoints.result import Absent, Evidence, Reason, Result, Role, absent
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import Kind, Lacking


def disease_free(
    line: Timeline, course: PsaCourse, events: ClinicalEvents, lacking: Lacking
) -> Result:
    """Yes, no with the date of the disease, or why nobody knows."""
    rules = line.protocol.disease_free
    landmark = add_months(line.d0, rules.landmark_months)
    reached = line.as_of >= landmark

    def none(kind: Absent, reason: Reason, *evidence: Evidence, final: bool = reached) -> Result:
        return absent(DISEASE_FREE, (line.d0, landmark), kind, reason, evidence, final=final)

    if events.at_baseline:
        found = (event.evidence(Role.BASELINE_EVENT) for event in events.at_baseline)
        return none(Absent.NOT_APPLICABLE, Reason.METASTATIC_AT_BASELINE, *found, final=True)
    disease = _first_disease(course, events, landmark)
    if disease is not None:
        role = Role.FAILING_PSA if disease.kind is Kind.BIOCHEMICAL_FAILURE else Role.EVENT
        return Result(
            DISEASE_FREE,
            disease.when.first,
            disease.when.last,
            final=reached or disease.when.precise,
            value=False,
            period=not disease.when.precise,
            evidence=(disease.evidence(role),),
        )
    died = line.died
    if died is not None and died.last <= landmark:
        return none(Absent.UNKNOWN, Reason.DIED_BEFORE_LANDMARK, death_evidence(line))
    if not reached:
        return none(Absent.TEMP_UNKNOWN, Reason.LANDMARK_NOT_REACHED)
    vague = [*events.possible]
    vague += [event for event in events.intervals if event.when.first <= landmark]
    if died is not None and not died.precise and died.first <= landmark:
        vague.append(Event(Kind.DEATH, _facts_ref(line), died))
    if vague:
        told = (event.evidence(Role.VAGUE_EVENT) for event in vague)
        return none(Absent.UNKNOWN, vague_reason(vague), *told)
    earliest = add_months(landmark, -rules.psa_months_before)
    clear = next((point for point in course.clear if point.day >= earliest), None)
    if clear is None:
        return none(Absent.UNKNOWN, Reason.INSUFFICIENT_PSA)
    if lacking.conditions or lacking.medications:
        return none(Absent.UNKNOWN, Reason.SOURCE_LACKS_TYPE)
    return Result(
        DISEASE_FREE,
        line.d0,
        landmark,
        final=True,
        value=True,
        period=True,
        evidence=(psa_evidence(Role.CLEAR_PSA, clear),),
    )


def death_evidence(line: Timeline) -> Evidence:
    """His death as evidence."""
    died = line.died
    day = died.first if died is not None and died.precise else None
    return Evidence(Role.DEATH, _facts_ref(line), Kind.DEATH, day)


def _facts_ref(line: Timeline) -> str:
    facts = line.record.facts
    return facts.ref if facts is not None else f"Patient/{line.record.patient}"


def _first_disease(course: PsaCourse, events: ClinicalEvents, landmark: date) -> Event | None:
    """The disease up to the landmark: the first of a known day, else the first interval."""
    precise = [*failure_event(course), *events.precise]
    precise = [event for event in precise if event.when.first <= landmark]
    if precise:
        return min(precise, key=lambda event: event.when.first)
    return next((event for event in events.intervals if event.when.last <= landmark), None)
