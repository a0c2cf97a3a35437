"""Disease-free and metastasis-free survival: days from D0, event or censored."""

from datetime import date

from fhircryo.calendar import ANY_DAY
from fhircryo.endpoints.catalogue import (
    DISEASE_FREE_SURVIVAL,
    METASTASIS_FREE_SURVIVAL,
    Endpoint,
)
from fhircryo.endpoints.disease_free import death_evidence
from fhircryo.endpoints.failure import failure_event, psa_evidence
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


def disease_free_survival(
    line: Timeline, course: PsaCourse, events: ClinicalEvents, lacking: Lacking
) -> Result:
    """To the first of failure, local recurrence, metastasis, progression and death."""
    precise = [*failure_event(course), *events.precise]
    last = course.clear[-1] if course.clear else None
    lacks = lacking.conditions or lacking.medications
    return _survival(DISEASE_FREE_SURVIVAL, line, precise, events, last, lacks=lacks)


def metastasis_free_survival(
    line: Timeline, course: PsaCourse, events: ClinicalEvents, lacking: Lacking
) -> Result:
    """To the first of metastasis and death."""
    metastases = events.of(Kind.METASTASIS)
    last = course.points[-1] if course.points else None
    return _survival(
        METASTASIS_FREE_SURVIVAL,
        line,
        metastases.precise,
        metastases,
        last,
        lacks=lacking.conditions,
    )


def _survival(
    endpoint: Endpoint,
    line: Timeline,
    precise: list[Event],
    events: ClinicalEvents,
    last: SeriesPoint | None,
    *,
    lacks: bool,
) -> Result:
    """The rules in order, the first that applies.

    ``last``: the PSA to censor at; ``lacks``: the source lacks a type that could tell of an event.
    """

    def none(kind: Absent, reason: Reason, *evidence: Evidence, final: bool = False) -> Result:
        return absent(endpoint, (line.d0, None), kind, reason, evidence, final=final)

    if events.at_baseline:
        found = (event.evidence(Role.BASELINE_EVENT) for event in events.at_baseline)
        return none(Absent.NOT_APPLICABLE, Reason.METASTATIC_AT_BASELINE, *found, final=True)
    precise, vague = _with_death(line, precise, [*events.intervals, *events.possible])
    first = min(precise, key=lambda event: event.when.first, default=None)
    # An undated death is later than any event: it hides none, and it is no event itself.
    hiding = [event for event in vague if event.kind is not Kind.DEATH or event.dated]
    if vague and (first is None or may_precede(hiding, first)):
        told = (event.evidence(Role.VAGUE_EVENT) for event in vague)
        return none(Absent.UNKNOWN, vague_reason(vague), *told)
    if first is not None:
        evidence = _evidence(first, line)
        return _days(endpoint, line, first.when.first, evidence, event=True)
    if last is None:
        return none(Absent.UNKNOWN, Reason.NO_FOLLOW_UP)
    if lacks:
        return none(Absent.UNKNOWN, Reason.SOURCE_LACKS_TYPE)
    return _days(endpoint, line, last.day, psa_evidence(Role.LAST_PSA, last), event=False)


def _with_death(
    line: Timeline, precise: list[Event], vague: list[Event]
) -> tuple[list[Event], list[Event]]:
    """The events with his death among them, as far as its date is known."""
    ref = death_evidence(line).ref
    if line.died_undated:
        return precise, [*vague, Event(Kind.DEATH, ref, ANY_DAY)]
    if line.died is None:
        return precise, vague
    death = Event(Kind.DEATH, ref, line.died)
    return ([*precise, death], vague) if line.died.precise else (precise, [*vague, death])


def _evidence(event: Event, line: Timeline) -> Evidence:
    if event.kind is Kind.DEATH:
        return death_evidence(line)
    if event.kind is Kind.BIOCHEMICAL_FAILURE:
        return event.evidence(Role.FAILING_PSA)
    return event.evidence(Role.EVENT)


def _days(
    endpoint: Endpoint, line: Timeline, day: date, evidence: Evidence, *, event: bool
) -> Result:
    return Result(
        endpoint,
        day,
        day,
        final=event,
        value=(day - line.d0).days,
        components=(Component(Part.EVENT, event),),
        evidence=(evidence,),
    )
