"""Salvage therapy: hormone therapy, or another local treatment, after the index treatment.

It lowers PSA and can hide a failure. What it does to the endpoints is the protocol's choice:
``report`` marks those that rest on PSA after it, ``event`` makes it a failure of its own,
``censor`` ends the PSA series with it.
"""

from collections.abc import Iterable
from datetime import date

from fhircryo.calendar import ANY_DAY, Span
from fhircryo.endpoints.recurrence import ClinicalEvents, Event
from fhircryo.endpoints.result import Component, Part, Result, Role
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import Kind, Reason, Therapy, VagueTreatment

_PSA = frozenset({Role.NADIR, Role.FAILING_PSA, Role.CLEAR_PSA, Role.LAST_PSA})


def salvage_therapy(line: Timeline) -> ClinicalEvents:
    """The salvage therapies of a patient; what is none is told to the time line."""
    found = ClinicalEvents([], [], [], [])
    for treatment in line.repeats:
        if _place(treatment.ref, treatment.when, line, line.last_day, found):
            line.tell(treatment.ref, Reason.OUTSIDE_WINDOW, "a repeat treatment", used=True)
    for item in line.record.not_used:
        if isinstance(item, VagueTreatment):
            _place_vague(item, line, found)
    for therapy in line.record.therapies:
        _place_therapy(therapy, line, found)
    found.sort()
    return found


def _place_vague(treatment: VagueTreatment, line: Timeline, found: ClinicalEvents) -> None:
    """A cryoablation of no known day: a repeat treatment where it lies after the index one."""
    if treatment.when.last <= line.last_day:
        line.tell(treatment.ref, treatment.reason, treatment.detail)
    else:
        _place(treatment.ref, treatment.when, line, line.last_day, found)


def _place_therapy(therapy: Therapy, line: Timeline, found: ClinicalEvents) -> None:
    if therapy.problem is not None:
        line.tell(therapy.ref, therapy.problem, therapy.detail)
    elif therapy.when is None:
        found.possible.append(Event(Kind.SALVAGE_THERAPY, therapy.ref, ANY_DAY))
        line.tell(therapy.ref, Reason.NO_USABLE_DATE, f"possible: {therapy.detail}")
    elif therapy.when.last <= line.d0:
        line.tell(therapy.ref, Reason.OUTSIDE_WINDOW, "begun before the end of D0")
    else:
        _place(therapy.ref, therapy.when, line, line.d0, found)


def _place(ref: str, recorded: Span, line: Timeline, before: date, found: ClinicalEvents) -> bool:
    """Place what began at some time; whether it did after the day ``before``, and counts."""
    death = line.day_of_death
    if death is not None and recorded.first > death:
        line.tell(ref, Reason.AFTER_DEATH)
        return False
    when = line.settle(recorded)
    if when is None:
        line.tell(ref, Reason.AFTER_AS_OF)
        return False
    event = Event(Kind.SALVAGE_THERAPY, ref, when)
    if when.first <= before:
        found.possible.append(event)
        line.tell(ref, Reason.IMPRECISE_DATE, "possible: its dates reach over the treatment")
        return False
    (found.precise if when.precise else found.intervals).append(event)
    return True


def first_therapy(therapies: ClinicalEvents) -> Event | None:
    """The therapy that may have begun first, those aside that may have before D0."""
    return min(therapies.known, key=lambda event: event.when.first, default=None)


def as_failures(line: Timeline, therapies: ClinicalEvents) -> ClinicalEvents:
    """The therapies that count among the events that end freedom from disease.

    As an event all of them do. Where they end the PSA series, those do that may have ended it on
    a day that nobody knows.
    """
    rule = line.protocol.salvage_therapy
    if rule == "event":
        return therapies
    possible = therapies.possible if rule == "censor" else []
    return ClinicalEvents([], [], possible, [])


def mark(results: Iterable[Result], first: Event | None) -> None:
    """Put the date of the first therapy on the results that rest on PSA after it."""
    if first is None:
        return
    for result in results:
        if any(
            evidence.role in _PSA and evidence.day is not None and evidence.day > first.when.first
            for evidence in result.evidence
        ):
            result.components += (Component(Part.SALVAGE_THERAPY, first.when),)
