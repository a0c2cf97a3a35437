"""Salvage therapy: hormone, systemic or another local therapy after the index treatment.

It lowers PSA and can hide a failure. Its effect on the endpoints that rest on PSA is the protocol
field ``salvage_therapy``: ``event`` ends the PSA series and counts as an event, ``censor`` ends the
series, ``report`` marks the endpoints that rest on PSA after it. Hormone therapy that was under way
at D0 and goes on is no salvage therapy.
"""

from collections.abc import Iterable
from datetime import date

import msgspec

from fhircryo.calendar import ANY_DAY, Span, add_days
from fhircryo.endpoints.catalogue import (
    BIOCHEMICAL_FAILURE,
    DISEASE_FREE,
    DISEASE_FREE_SURVIVAL,
    PSA_NADIR,
    TIME_TO_FAILURE,
)
from fhircryo.endpoints.events import ClinicalEvents, Event
from fhircryo.endpoints.result import ComponentKey, Result, ResultComponent, Role
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import EventKind, Reason, Therapy, TherapyKind, VagueTreatment

_PSA_ROLES = frozenset({Role.NADIR, Role.FAILING_PSA, Role.CLEAR_PSA})

#: The endpoints that rest on PSA.
ON_PSA = frozenset(
    {PSA_NADIR, BIOCHEMICAL_FAILURE, TIME_TO_FAILURE, DISEASE_FREE, DISEASE_FREE_SURVIVAL}
)


class Continuation(msgspec.Struct):
    """Hormone therapy at index, and how long later therapy may be its continuation.

    ``at_index``: the therapies at index. ``continued``: later ones that continue them. ``open``:
    therapy begun earlier that may still have been given. ``sure_until`` and ``maybe_until``: the
    first and the last day on which the latest therapy of the chain can have ended.
    """

    days: int
    at_index: list[Therapy] = []
    continued: list[Therapy] = []
    open: list[Therapy] = []
    sure_until: date = date.min
    maybe_until: date = date.min

    def extend(self, therapy: Therapy, when: Span, *, sure: bool) -> None:
        """Move the end of the chain to the end of a therapy; ``sure``: it certainly belongs."""
        end = therapy.end or when
        self.maybe_until = max(self.maybe_until, when.last, end.last)
        if sure:
            self.sure_until = max(self.sure_until, when.first, end.first)

    def covers(self, when: Span) -> bool:
        """Return whether a therapy certainly begins before the gap's end."""
        return bool(self.at_index) and when.last <= add_days(self.sure_until, self.days)

    def may_cover(self, when: Span) -> bool:
        """Return whether a therapy may begin before the gap's end."""
        return bool(self.at_index) and when.first <= add_days(self.maybe_until, self.days)


def salvage_therapy(timeline: Timeline) -> tuple[ClinicalEvents, Continuation]:
    """Return the salvage therapies of a patient, and the hormone therapy at index.

    What is neither is reported to the timeline.
    """
    found = ClinicalEvents([], [], [], [])
    continuation = Continuation(timeline.protocol.hormone_therapy.continuation_days, [], [], [])
    for treatment in timeline.repeats:
        when = _existing(treatment.ref, treatment.when, timeline)
        if when is not None:
            found.add(
                Event(EventKind.SALVAGE_THERAPY, treatment.ref, when, stated=when, repeat=True)
            )
            timeline.report(treatment.ref, Reason.OUTSIDE_WINDOW, "a repeat treatment", used=True)
    for item in timeline.record.not_used:
        if isinstance(item, VagueTreatment):
            _add_cryoablation(item, timeline, found)
    hormone: list[tuple[Therapy, Span]] = []
    for therapy in timeline.record.therapies:
        used = _used(therapy, timeline)
        if used is None:
            continue
        if therapy.kind is TherapyKind.HORMONE:
            hormone.append((therapy, used))
        else:
            _add_therapy(therapy, used, timeline, found)
    if hormone:
        _add_hormone(hormone, timeline, found, continuation)
    found.sort()
    return found, continuation


def _existing(ref: str, stated: Span, timeline: Timeline) -> Span | None:
    """Return the interval of a therapy up to as-of and the death; None if it does not count."""
    death = timeline.day_of_death
    if death is not None and stated.first > death:
        timeline.report(ref, Reason.AFTER_DEATH)
        return None
    when = timeline.settle(stated)
    if when is None:
        timeline.report(ref, Reason.AFTER_AS_OF)
    return when


def _used(therapy: Therapy, timeline: Timeline) -> Span | None:
    """Return the interval of a therapy of a used status (undated: of all days), else None."""
    if therapy.problem is not None:
        timeline.report(therapy.ref, therapy.problem, therapy.detail)
        return None
    if therapy.when is None:
        return ANY_DAY
    return _existing(therapy.ref, therapy.when, timeline)


def _add_cryoablation(treatment: VagueTreatment, timeline: Timeline, found: ClinicalEvents) -> None:
    """Add a cryoablation of an imprecise date, if it lies wholly after the index treatment."""
    if treatment.when.first <= timeline.last_day:
        timeline.report(treatment.ref, treatment.reason, treatment.detail)
        return
    when = _existing(treatment.ref, treatment.when, timeline)
    if when is not None:
        found.add(
            Event(
                EventKind.SALVAGE_THERAPY,
                treatment.ref,
                when,
                stated=treatment.when,
                repeat=True,
            )
        )


def _add_therapy(therapy: Therapy, when: Span, timeline: Timeline, found: ClinicalEvents) -> None:
    """Add local or systemic therapy, or hormone therapy that continues nothing."""
    if when.last <= timeline.d0:
        # Earlier radiotherapy is a baseline characteristic.
        if not therapy.modality:
            timeline.report(therapy.ref, Reason.OUTSIDE_WINDOW, "begun on or before D0")
    elif when.first > timeline.d0:
        found.add(Event(EventKind.SALVAGE_THERAPY, therapy.ref, when, stated=therapy.when))
    else:
        reason = Reason.IMPRECISE_DATE if therapy.when is not None else Reason.NO_USABLE_DATE
        _add_possible(therapy, when, reason, timeline, found)


def _add_possible(
    therapy: Therapy, when: Span, reason: Reason, timeline: Timeline, found: ClinicalEvents
) -> None:
    event = Event(EventKind.SALVAGE_THERAPY, therapy.ref, when, reason, stated=therapy.when)
    found.possible.append(event)
    timeline.report(therapy.ref, reason, "possible salvage therapy")


def _add_hormone(
    therapies: list[tuple[Therapy, Span]],
    timeline: Timeline,
    found: ClinicalEvents,
    continuation: Continuation,
) -> None:
    """Add hormone therapies: at index, its continuation, salvage therapy, or possibly so."""
    therapies.sort(key=lambda one: (one[1].first, one[1].last, one[0].ref))
    later = [pair for pair in therapies if not _begun_before(*pair, timeline, continuation)]
    for therapy, when in later:
        if therapy.when is None:
            _add_possible(therapy, when, Reason.NO_USABLE_DATE, timeline, found)
        elif continuation.at_index:
            _add_later(therapy, when, timeline, found, continuation)
        elif continuation.open:
            reason = Reason.NO_USABLE_DATE if when.precise else Reason.IMPRECISE_DATE
            _add_possible(therapy, when, reason, timeline, found)
        else:
            _add_therapy(therapy, when, timeline, found)


def _begun_before(
    therapy: Therapy, when: Span, timeline: Timeline, continuation: Continuation
) -> bool:
    """Return whether a therapy began on or before D0, and note what it means for later ones."""
    d0 = timeline.d0
    if when.last > d0:
        return False
    start = add_days(d0, -continuation.days)
    end = therapy.end
    if when.first >= start or (end is not None and end.first >= start):
        continuation.at_index.append(therapy)
        continuation.extend(therapy, when, sure=True)
        return True
    if (end is None and therapy.ongoing) or (end is not None and end.last >= start):
        continuation.open.append(therapy)
    else:
        timeline.report(therapy.ref, Reason.OUTSIDE_WINDOW, "begun on or before D0")
    return True


def _add_later(
    therapy: Therapy,
    when: Span,
    timeline: Timeline,
    found: ClinicalEvents,
    continuation: Continuation,
) -> None:
    """Add a dated hormone therapy after therapy at index: its continuation, or salvage therapy."""
    if continuation.covers(when):
        continuation.continued.append(therapy)
        continuation.extend(therapy, when, sure=True)
    elif continuation.may_cover(when):
        reason = Reason.IMPRECISE_DATE
        _add_possible(therapy, when, reason, timeline, found)
        continuation.extend(therapy, when, sure=False)
    else:
        _add_therapy(therapy, when, timeline, found)


def first_therapy(therapies: ClinicalEvents) -> Event | None:
    """Return the therapy that may have begun first; possible events are left out."""
    return min(therapies.known, key=lambda event: event.when.first, default=None)


def mark(
    results: Iterable[Result], therapies: ClinicalEvents, continuation: Continuation, rule: str
) -> None:
    """Mark the endpoints that rest on PSA.

    Under the rule ``report``: the date of the first salvage therapy, on results that rest on PSA
    after it. Under every rule: hormone therapy at index.
    """
    first = first_therapy(therapies) if rule == "report" else None
    if first is None and not continuation.at_index:
        return
    for result in results:
        if first is not None and any(
            evidence.role in _PSA_ROLES
            and evidence.day is not None
            and evidence.day > first.when.first
            for evidence in result.evidence
        ):
            result.components += (ResultComponent(ComponentKey.SALVAGE_THERAPY, first.when),)
        if continuation.at_index and result.endpoint in ON_PSA:
            result.components += (ResultComponent(ComponentKey.HORMONE_THERAPY_AT_INDEX, True),)
