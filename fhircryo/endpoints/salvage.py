"""Salvage therapy: hormone therapy, or another local treatment, after the index treatment.

It lowers PSA and can hide a failure. Its effect on the endpoints is the protocol field
``salvage_therapy``: ``report`` marks the endpoints that rest on PSA after it, ``event`` makes it a
failure, ``censor`` ends the PSA series on its day.
"""

from collections.abc import Iterable
from datetime import date

from fhircryo.calendar import ANY_DAY, Span
from fhircryo.endpoints.recurrence import ClinicalEvents, Event
from fhircryo.endpoints.result import ComponentKey, Result, ResultComponent, Role
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import EventKind, Reason, Therapy, VagueTreatment

_PSA = frozenset({Role.NADIR, Role.FAILING_PSA, Role.CLEAR_PSA, Role.LAST_PSA})


def salvage_therapy(timeline: Timeline) -> ClinicalEvents:
    """Return the salvage therapies of a patient; reports to the timeline what is not one."""
    found = ClinicalEvents([], [], [], [])
    for treatment in timeline.repeats:
        if _add(treatment.ref, treatment.when, timeline, timeline.last_day, found):
            timeline.report(treatment.ref, Reason.OUTSIDE_WINDOW, "a repeat treatment", used=True)
    for item in timeline.record.not_used:
        if isinstance(item, VagueTreatment):
            _add_cryoablation(item, timeline, found)
    for therapy in timeline.record.therapies:
        _add_therapy(therapy, timeline, found)
    found.sort()
    return found


def _add_cryoablation(treatment: VagueTreatment, timeline: Timeline, found: ClinicalEvents) -> None:
    """Add a cryoablation without a precise date, which may be a repeat treatment."""
    if treatment.when.last <= timeline.last_day:
        timeline.report(treatment.ref, treatment.reason, treatment.detail)
    else:
        _add(treatment.ref, treatment.when, timeline, timeline.last_day, found)


def _add_therapy(therapy: Therapy, timeline: Timeline, found: ClinicalEvents) -> None:
    if therapy.problem is not None:
        timeline.report(therapy.ref, therapy.problem, therapy.detail)
    elif therapy.when is None:
        found.possible.append(Event(EventKind.SALVAGE_THERAPY, therapy.ref, ANY_DAY))
        timeline.report(therapy.ref, Reason.NO_USABLE_DATE, f"possible: {therapy.detail}")
    elif therapy.when.last <= timeline.d0:
        timeline.report(therapy.ref, Reason.OUTSIDE_WINDOW, "begun on or before D0")
    else:
        _add(therapy.ref, therapy.when, timeline, timeline.d0, found)


def _add(ref: str, recorded: Span, timeline: Timeline, before: date, found: ClinicalEvents) -> bool:
    """Add a therapy as an event; return whether it began after the day ``before`` and counts.

    One that may have begun on or before that day is added as a possible event.
    """
    death = timeline.day_of_death
    if death is not None and recorded.first > death:
        timeline.report(ref, Reason.AFTER_DEATH)
        return False
    when = timeline.settle(recorded)
    if when is None:
        timeline.report(ref, Reason.AFTER_AS_OF)
        return False
    event = Event(EventKind.SALVAGE_THERAPY, ref, when)
    if when.first <= before:
        found.possible.append(event)
        timeline.report(ref, Reason.IMPRECISE_DATE, "possible: its interval includes the treatment")
        return False
    (found.precise if when.precise else found.intervals).append(event)
    return True


def first_therapy(therapies: ClinicalEvents) -> Event | None:
    """Return the therapy that may have begun first; possible events are left out."""
    return min(therapies.known, key=lambda event: event.when.first, default=None)


def as_failures(timeline: Timeline, therapies: ClinicalEvents) -> ClinicalEvents:
    """Return the therapies that count as events or possible events of disease.

    Under ``event`` all of them do. Under ``censor`` the possible ones do: it is not known whether
    and when they ended the PSA series. Under ``report`` none does.
    """
    rule = timeline.protocol.salvage_therapy
    if rule == "event":
        return therapies
    possible = therapies.possible if rule == "censor" else []
    return ClinicalEvents([], [], possible, [])


def mark(results: Iterable[Result], first: Event | None) -> None:
    """Add the date of the first therapy to the results that rest on PSA after it.

    It is added as the component ``salvage-therapy``.
    """
    if first is None:
        return
    for result in results:
        if any(
            evidence.role in _PSA and evidence.day is not None and evidence.day > first.when.first
            for evidence in result.evidence
        ):
            result.components += (ResultComponent(ComponentKey.SALVAGE_THERAPY, first.when),)
