"""Events of a patient: those that happened after D0, and those that may have."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

import msgspec

from fhircryo.calendar import ANY_DAY, Span
from fhircryo.endpoints.result import Evidence, Role
from fhircryo.record.items import EventKind, Reason

#: Several possible events give one reason for an absent value: the first of these.
_PRECEDENCE = (
    Reason.IMPRECISE_DATE,
    Reason.NO_USABLE_DATE,
    Reason.OTHER_PRIMARY,
    Reason.UNCLEAR_SITE,
    Reason.INCONCLUSIVE_PSA,
    Reason.UNCONFIRMED,
)


class Event(msgspec.Struct, gc=False, frozen=True):
    """An event on a day or in an interval; without a date, the interval of all days.

    ``reason``: of a possible event, why it is neither counted nor ruled out; of a known event that
    is an interval, the reason that its interval gives for an absent value. ``stated``: its date as
    recorded, before any move to the day of death. ``value``: the PSA of a biochemical failure.
    ``repeat``: it is a repeat cryoablation.
    """

    kind: EventKind
    ref: str
    when: Span
    reason: Reason = Reason.IMPRECISE_DATE
    stated: Span | None = None
    value: Decimal | None = None
    repeat: bool = False

    @property
    def dated(self) -> bool:
        """Whether the event has a date, precise or not."""
        return self.when != ANY_DAY

    def evidence(self, role: Role | None = None) -> Evidence:
        """Return this event as evidence for a result; ``role``: by default that of its kind."""
        if role is None:
            role = _ROLES.get(self.kind, Role.EVENT)
        day = self.when.first if self.when.precise else None
        value: Decimal | EventKind = self.kind if self.value is None else self.value
        return Evidence(role, self.ref, value, day)


_ROLES = {EventKind.BIOCHEMICAL_FAILURE: Role.FAILING_PSA, EventKind.DEATH: Role.DEATH}


class ClinicalEvents(msgspec.Struct):
    """The events of a patient, each list in order of time.

    ``precise``: events on a known day after D0. ``intervals``: interval events, wholly after D0.
    ``possible``: possible events, neither counted nor ruled out. ``at_baseline``: metastases dated
    on or before D0.
    """

    precise: list[Event] = []
    intervals: list[Event] = []
    possible: list[Event] = []
    at_baseline: list[Event] = []

    @property
    def known(self) -> list[Event]:
        """The events after D0: precise events, then interval events."""
        return self.precise + self.intervals

    def add(self, event: Event) -> None:
        """Add an event after D0, to the precise events or to the interval events."""
        (self.precise if event.when.precise else self.intervals).append(event)

    def of(self, *kinds: EventKind) -> "ClinicalEvents":
        """Return only the events of some kinds."""

        def only(events: list[Event]) -> list[Event]:
            return [event for event in events if event.kind in kinds]

        return ClinicalEvents(
            only(self.precise),
            only(self.intervals),
            only(self.possible),
            only(self.at_baseline),
        )

    def and_also(self, others: "ClinicalEvents") -> "ClinicalEvents":
        """Return these events and ``others``."""
        if not (others.precise or others.intervals or others.possible or others.at_baseline):
            return self
        joined = ClinicalEvents(
            self.precise + others.precise,
            self.intervals + others.intervals,
            self.possible + others.possible,
            self.at_baseline + others.at_baseline,
        )
        joined.sort()
        return joined

    def sort(self) -> None:
        """Sort all lists in order of time."""
        for events in (self.precise, self.intervals, self.possible, self.at_baseline):
            if len(events) > 1:
                events.sort(key=_time_order)


def first_reason(events: Iterable[Event]) -> Reason:
    """Return the reason that several events give for an absent value.

    The order of precedence is that of the definitions: an imprecise date before no date, and so on.
    """
    return min((event.reason for event in events), key=_PRECEDENCE.index)


def _time_order(event: Event) -> tuple[date, date, str, str]:
    return (event.when.first, event.when.last, event.kind, event.ref)
