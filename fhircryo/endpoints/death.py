"""The death of a patient: when it happened, as far as that is known, and of what."""

import msgspec

from fhircryo.calendar import Span, add_days
from fhircryo.endpoints.contact import Contact
from fhircryo.endpoints.events import Event
from fhircryo.endpoints.result import Evidence, Role
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import Cause, CauseOfDeath, EventKind, Reason

_CAUSES = tuple(Cause)


class Death(msgspec.Struct, frozen=True):
    """A death on or after D0.

    ``when``: its day, or its interval narrowed by the last contact. ``reason``: the reason that an
    interval gives for an absent value. ``cause_ref``: the Observation that states the cause, empty
    if none does.
    """

    ref: str
    when: Span
    reason: Reason
    cause: Cause
    cause_ref: str = ""

    @property
    def of_prostate_cancer(self) -> bool:
        """Whether the prostate cancer was the cause."""
        return self.cause is Cause.PROSTATE_CANCER

    def event(self) -> Event:
        """Return the death as an event."""
        return Event(EventKind.DEATH, self.ref, self.when, self.reason)

    def evidence(self) -> tuple[Evidence, ...]:
        """Return the death, and the statement of its cause, as evidence for a result."""
        found = (self.event().evidence(Role.DEATH),)
        if not self.cause_ref:
            return found
        return (*found, Evidence(Role.CAUSE_OF_DEATH, self.cause_ref, self.cause))


def death_of(timeline: Timeline, contact: Contact | None) -> Death | None:
    """Return the death of a patient by the as-of date; None if he is not known to have died."""
    stated, undated = timeline.died, timeline.died_undated
    facts = timeline.record.facts
    if facts is None or (stated is None and not undated):
        _report_causes(timeline)
        return None
    earliest = add_days(timeline.d0, 1)
    if contact is not None:
        earliest = max(earliest, contact.day)
    reason = Reason.IMPRECISE_DATE
    if stated is None:
        when = Span(min(earliest, timeline.as_of), timeline.as_of)
        reason = Reason.NO_USABLE_DATE
    elif stated.precise:
        when = stated
    else:
        when = Span(min(max(stated.first, earliest), stated.last), stated.last)
    cause = _cause(timeline)
    if cause is None:
        return Death(facts.ref, when, reason, Cause.UNKNOWN)
    return Death(facts.ref, when, reason, cause.cause, cause.ref)


def _cause(timeline: Timeline) -> CauseOfDeath | None:
    """Return the statement of the cause that counts; one dated after as-of does not exist."""
    existing = [cause for cause in timeline.record.causes if _exists(cause, timeline)]
    return min(existing, key=lambda one: (_CAUSES.index(one.cause), one.ref), default=None)


def _exists(cause: CauseOfDeath, timeline: Timeline) -> bool:
    if cause.when is None or cause.when.first <= timeline.as_of:
        return True
    timeline.report(cause.ref, Reason.AFTER_AS_OF)
    return False


def _report_causes(timeline: Timeline) -> None:
    """Report causes of death of a patient of whom no death by the as-of date is recorded."""
    for cause in timeline.record.causes:
        if _exists(cause, timeline):
            detail = "a cause of death, but no death by the as-of date is recorded"
            timeline.report(cause.ref, Reason.VALUE, detail)
