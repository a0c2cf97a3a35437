"""Clinical events: metastasis, local recurrence and progression."""

from datetime import date

import msgspec

from fhircryo.calendar import ANY_DAY, Span, add_days
from fhircryo.endpoints.catalogue import LOCAL_RECURRENCE, METASTASIS, Endpoint
from fhircryo.endpoints.result import Absent, Evidence, Result, Role, absent
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import EventKind, Finding, Lacking, Reason


class Event(msgspec.Struct, gc=False, frozen=True):
    """An event on a day or in an interval; without a date, the interval of all days."""

    kind: EventKind
    ref: str
    when: Span

    @property
    def dated(self) -> bool:
        """Whether the event has a date, precise or not."""
        return self.when != ANY_DAY

    def evidence(self, role: Role) -> Evidence:
        """Return this event as evidence for a result."""
        day = self.when.first if self.when.precise else None
        return Evidence(role, self.ref, self.kind, day)


class ClinicalEvents(msgspec.Struct):
    """The clinical events of a patient, each list in order of time.

    ``precise``: events on a known day after D0. ``intervals``: interval events, wholly after D0.
    ``possible``: possible events, neither counted nor ruled out. ``at_baseline``: metastases dated
    on or before D0.
    """

    precise: list[Event]
    intervals: list[Event]
    possible: list[Event]
    at_baseline: list[Event]

    @property
    def known(self) -> list[Event]:
        """The events after D0: precise events, then interval events."""
        return self.precise + self.intervals

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
        if not (others.known or others.possible or others.at_baseline):
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


def uncertainty_reason(events: list[Event]) -> Reason:
    """Return the reason that interval events and possible events give for an absent value.

    An imprecise date takes precedence over no date.
    """
    if any(event.dated for event in events):
        return Reason.IMPRECISE_DATE
    return Reason.NO_USABLE_DATE


def may_precede(uncertain: list[Event], first: Event | None) -> bool:
    """Return whether one of ``uncertain`` may have happened before the first precise event.

    ``uncertain``: interval events and possible events. ``first``: None if there is no precise one.
    """
    if first is None:
        return bool(uncertain)
    return any(event.when.first < first.when.first for event in uncertain)


def clinical_events(timeline: Timeline) -> ClinicalEvents:
    """Return the clinical events of a patient; reports to the timeline what is not an event."""
    found = ClinicalEvents([], [], [], [])
    for finding in timeline.record.findings:
        _add_finding(finding, timeline, found)
    found.sort()
    return found


def _time_order(event: Event) -> tuple[date, date, str, str]:
    return (event.when.first, event.when.last, event.kind, event.ref)


def _add_finding(finding: Finding, timeline: Timeline, found: ClinicalEvents) -> None:
    recorded = finding.when
    if recorded is None:
        found.possible.append(Event(finding.kind, finding.ref, ANY_DAY))
        timeline.report(finding.ref, Reason.NO_USABLE_DATE, "a possible event")
        return
    when = timeline.settle(recorded)
    if when is None:
        timeline.report(finding.ref, Reason.AFTER_AS_OF)
    elif _is_indication(finding, recorded, timeline):
        timeline.report(finding.ref, Reason.OUTSIDE_WINDOW, "the indication for the treatment")
    elif when.first > timeline.d0:
        events = found.precise if when.precise else found.intervals
        events.append(Event(finding.kind, finding.ref, when))
    elif when.last > timeline.d0:
        found.possible.append(Event(finding.kind, finding.ref, when))
        timeline.report(
            finding.ref, Reason.IMPRECISE_DATE, "a possible event: its interval contains D0"
        )
    elif finding.kind is EventKind.METASTASIS:
        found.at_baseline.append(Event(finding.kind, finding.ref, when))
    else:
        timeline.report(finding.ref, Reason.OUTSIDE_WINDOW, "not after the index procedure")


def _is_indication(finding: Finding, recorded: Span, timeline: Timeline) -> bool:
    """Return whether a local recurrence is the indication for the treatment.

    ``recorded``: its interval as recorded, before any move to the day of death.
    """
    if finding.kind is not EventKind.LOCAL_RECURRENCE:
        return False
    if recorded.last <= timeline.d0:
        return True
    limit = add_days(timeline.d0, timeline.protocol.recurrence.indication_days)
    return finding.recorded_only and recorded.last <= limit


def metastasis(timeline: Timeline, events: ClinicalEvents, lacking: Lacking) -> Result:
    """Return ``metastasis``: yes with its date, no, or absent."""
    if events.at_baseline:
        found = (event.evidence(Role.BASELINE_EVENT) for event in events.at_baseline)
        return absent(
            METASTASIS,
            (timeline.d0, None),
            Absent.NOT_APPLICABLE,
            Reason.METASTATIC_AT_BASELINE,
            found,
            final=True,
        )
    return _event_endpoint(METASTASIS, timeline, events.of(EventKind.METASTASIS), lacking)


def local_recurrence(timeline: Timeline, events: ClinicalEvents, lacking: Lacking) -> Result:
    """Return ``local-recurrence``: yes with its date, no, or absent."""
    return _event_endpoint(
        LOCAL_RECURRENCE, timeline, events.of(EventKind.LOCAL_RECURRENCE), lacking
    )


def _event_endpoint(
    endpoint: Endpoint, timeline: Timeline, events: ClinicalEvents, lacking: Lacking
) -> Result:
    known = events.precise or events.intervals
    if known:
        first = known[0]
        return Result(
            endpoint,
            first.when.first,
            first.when.last,
            final=True,
            value=True,
            period=not first.when.precise,
            evidence=(first.evidence(Role.EVENT),),
        )
    uncertain = tuple(event.evidence(Role.VAGUE_EVENT) for event in events.possible)
    if uncertain:
        reason = uncertainty_reason(events.possible)
        return absent(endpoint, (timeline.d0, None), Absent.UNKNOWN, reason, uncertain)
    if lacking.conditions:
        return absent(endpoint, (timeline.d0, None), Absent.UNKNOWN, Reason.SOURCE_LACKS_TYPE)
    return Result(endpoint, timeline.d0, None, final=False, value=False, period=True)
