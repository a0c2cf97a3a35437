"""Disease-free and metastasis-free survival: days from D0 to an event, or censored."""

from datetime import date

import msgspec

from fhircryo.calendar import ANY_DAY
from fhircryo.endpoints.catalogue import (
    DISEASE_FREE_SURVIVAL,
    METASTASIS_FREE_SURVIVAL,
    Endpoint,
)
from fhircryo.endpoints.disease_free import death_evidence
from fhircryo.endpoints.failure import failure_event, psa_evidence
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


def disease_free_survival(
    timeline: Timeline, course: PsaCourse, events: ClinicalEvents, lacking: Lacking
) -> Result:
    """Return ``disease-free-survival``.

    The events are biochemical failure, local recurrence, metastasis, progression and death.
    """
    precise = [*failure_event(course), *events.precise]
    events = msgspec.structs.replace(events, precise=precise)
    last = course.clear[-1] if course.clear else None
    lacks = lacking.conditions or lacking.medications
    return _survival(DISEASE_FREE_SURVIVAL, timeline, events, last, lacks=lacks)


def metastasis_free_survival(
    timeline: Timeline, course: PsaCourse, events: ClinicalEvents, lacking: Lacking
) -> Result:
    """Return ``metastasis-free-survival``: the events are metastasis and death."""
    metastases = events.of(EventKind.METASTASIS)
    last = course.points[-1] if course.points else None
    return _survival(
        METASTASIS_FREE_SURVIVAL,
        timeline,
        metastases,
        last,
        lacks=lacking.conditions,
    )


def _survival(
    endpoint: Endpoint,
    timeline: Timeline,
    events: ClinicalEvents,
    last: SeriesPoint | None,
    *,
    lacks: bool,
) -> Result:
    """Return a survival endpoint by the first rule that applies.

    ``last``: the PSA at which the time is censored. ``lacks``: the source lacks a resource type
    that would state an event.
    """

    def without_value(
        kind: Absent, reason: Reason, *evidence: Evidence, final: bool = False
    ) -> Result:
        return absent(endpoint, (timeline.d0, None), kind, reason, evidence, final=final)

    if events.at_baseline:
        found = (event.evidence(Role.BASELINE_EVENT) for event in events.at_baseline)
        return without_value(
            Absent.NOT_APPLICABLE, Reason.METASTATIC_AT_BASELINE, *found, final=True
        )
    precise, uncertain = _with_death(timeline, events)
    first = min(precise, key=lambda event: event.when.first, default=None)
    # An undated death is no event, and it cannot have happened before a known event.
    earlier = [event for event in uncertain if event.kind is not EventKind.DEATH or event.dated]
    if uncertain and (first is None or may_precede(earlier, first)):
        found = (event.evidence(Role.VAGUE_EVENT) for event in uncertain)
        return without_value(Absent.UNKNOWN, uncertainty_reason(uncertain), *found)
    if first is not None:
        evidence = _evidence(first, timeline)
        return _days(endpoint, timeline, first.when.first, evidence, event=True)
    if last is None:
        return without_value(Absent.UNKNOWN, Reason.NO_FOLLOW_UP)
    if lacks:
        return without_value(Absent.UNKNOWN, Reason.SOURCE_LACKS_TYPE)
    return _days(endpoint, timeline, last.day, psa_evidence(Role.LAST_PSA, last), event=False)


def _with_death(timeline: Timeline, events: ClinicalEvents) -> tuple[list[Event], list[Event]]:
    """Return the precise events, and all others, with the death of the patient among them."""
    precise, uncertain = events.precise, [*events.intervals, *events.possible]
    ref = death_evidence(timeline).ref
    if timeline.died_undated:
        return precise, [*uncertain, Event(EventKind.DEATH, ref, ANY_DAY)]
    if timeline.died is None:
        return precise, uncertain
    death = Event(EventKind.DEATH, ref, timeline.died)
    if timeline.died.precise:
        return [*precise, death], uncertain
    return precise, [*uncertain, death]


def _evidence(event: Event, timeline: Timeline) -> Evidence:
    if event.kind is EventKind.DEATH:
        return death_evidence(timeline)
    if event.kind is EventKind.BIOCHEMICAL_FAILURE:
        return event.evidence(Role.FAILING_PSA)
    return event.evidence(Role.EVENT)


def _days(
    endpoint: Endpoint, timeline: Timeline, day: date, evidence: Evidence, *, event: bool
) -> Result:
    return Result(
        endpoint,
        day,
        day,
        final=event,
        value=(day - timeline.d0).days,
        components=(ResultComponent(ComponentKey.EVENT, event),),
        evidence=(evidence,),
    )
