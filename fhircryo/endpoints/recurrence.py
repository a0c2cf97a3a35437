"""Clinical recurrence: metastasis, local recurrence, progression, as events in time."""

from datetime import date

import msgspec

from fhircryo.calendar import ANY_DAY, Span, add_days
from fhircryo.endpoints.catalogue import LOCAL_RECURRENCE, METASTASIS, Endpoint
from fhircryo.endpoints.result import Absent, Evidence, Result, Role, absent
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import Finding, Kind, Lacking, Reason


class Event(msgspec.Struct, gc=False, frozen=True):
    """Something that happened; without a known date it is of any day."""

    kind: Kind
    ref: str
    when: Span

    @property
    def dated(self) -> bool:
        """Whether anything is known of its date."""
        return self.when != ANY_DAY

    def evidence(self, role: Role) -> Evidence:
        """This event as evidence."""
        day = self.when.first if self.when.precise else None
        return Evidence(role, self.ref, self.kind, day)


class ClinicalEvents(msgspec.Struct):
    """A patient's clinical events by how much is known of their date.

    ``precise``: on a day after D0; ``intervals``: wholly after D0; ``possible``: neither counted
    nor ruled out; ``at_baseline``: metastases on or before D0. Each in order of time.
    """

    precise: list[Event]
    intervals: list[Event]
    possible: list[Event]
    at_baseline: list[Event]

    @property
    def known(self) -> list[Event]:
        """Those known to have happened after D0, the ones of a known day first."""
        return self.precise + self.intervals

    def of(self, *kinds: Kind) -> "ClinicalEvents":
        """Just the events of some kinds."""

        def only(events: list[Event]) -> list[Event]:
            return [event for event in events if event.kind in kinds]

        return ClinicalEvents(
            only(self.precise),
            only(self.intervals),
            only(self.possible),
            only(self.at_baseline),
        )

    def and_also(self, others: "ClinicalEvents") -> "ClinicalEvents":
        """These events and some others."""
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
        """Bring them in order of time."""
        for events in (self.precise, self.intervals, self.possible, self.at_baseline):
            if len(events) > 1:
                events.sort(key=_in_time)


def vague_reason(events: list[Event]) -> Reason:
    """The reason that vaguely dated events give: an imprecise date before none at all."""
    if any(event.dated for event in events):
        return Reason.IMPRECISE_DATE
    return Reason.NO_USABLE_DATE


def may_precede(vague: list[Event], first: Event | None) -> bool:
    """Whether a vaguely dated event may have come before the first one of a known day."""
    if first is None:
        return bool(vague)
    return any(event.when.first < first.when.first for event in vague)


def clinical_events(line: Timeline) -> ClinicalEvents:
    """The clinical events of a patient; what is no event is told to the time line."""
    found = ClinicalEvents([], [], [], [])
    for finding in line.record.findings:
        _place(finding, line, found)
    found.sort()
    return found


def _in_time(event: Event) -> tuple[date, date, str, str]:
    return (event.when.first, event.when.last, event.kind, event.ref)


def _place(finding: Finding, line: Timeline, found: ClinicalEvents) -> None:
    recorded = finding.when
    if recorded is None:
        found.possible.append(Event(finding.kind, finding.ref, ANY_DAY))
        line.tell(finding.ref, Reason.NO_USABLE_DATE, "a possible event")
        return
    when = line.settle(recorded)
    if when is None:
        line.tell(finding.ref, Reason.AFTER_AS_OF)
    elif _is_indication(finding, recorded, line):
        line.tell(finding.ref, Reason.OUTSIDE_WINDOW, "the indication for the treatment")
    elif when.first > line.d0:
        events = found.precise if when.precise else found.intervals
        events.append(Event(finding.kind, finding.ref, when))
    elif when.last > line.d0:
        found.possible.append(Event(finding.kind, finding.ref, when))
        line.tell(finding.ref, Reason.IMPRECISE_DATE, "a possible event: its dates hold D0")
    elif finding.kind is Kind.METASTASIS:
        found.at_baseline.append(Event(finding.kind, finding.ref, when))
    else:
        line.tell(finding.ref, Reason.OUTSIDE_WINDOW, "not after the index procedure")


def _is_indication(finding: Finding, recorded: Span, line: Timeline) -> bool:
    """Whether a local recurrence is what he was treated for; by its dates as recorded."""
    if finding.kind is not Kind.LOCAL_RECURRENCE:
        return False
    if recorded.last <= line.d0:
        return True
    limit = add_days(line.d0, line.protocol.recurrence.indication_days)
    return finding.recorded_only and recorded.last <= limit


def metastasis(line: Timeline, events: ClinicalEvents, lacking: Lacking) -> Result:
    """``metastasis``: yes with its date, else no, else why nobody knows."""
    if events.at_baseline:
        found = (event.evidence(Role.BASELINE_EVENT) for event in events.at_baseline)
        return absent(
            METASTASIS,
            (line.d0, None),
            Absent.NOT_APPLICABLE,
            Reason.METASTATIC_AT_BASELINE,
            found,
            final=True,
        )
    return _event_endpoint(METASTASIS, line, events.of(Kind.METASTASIS), lacking)


def local_recurrence(line: Timeline, events: ClinicalEvents, lacking: Lacking) -> Result:
    """``local-recurrence``: yes with its date, else no, else why nobody knows."""
    return _event_endpoint(LOCAL_RECURRENCE, line, events.of(Kind.LOCAL_RECURRENCE), lacking)


def _event_endpoint(
    endpoint: Endpoint, line: Timeline, events: ClinicalEvents, lacking: Lacking
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
    vague = tuple(event.evidence(Role.VAGUE_EVENT) for event in events.possible)
    if vague:
        reason = vague_reason(events.possible)
        return absent(endpoint, (line.d0, None), Absent.UNKNOWN, reason, vague)
    if lacking.conditions:
        return absent(endpoint, (line.d0, None), Absent.UNKNOWN, Reason.SOURCE_LACKS_TYPE)
    return Result(endpoint, line.d0, None, final=False, value=False, period=True)
