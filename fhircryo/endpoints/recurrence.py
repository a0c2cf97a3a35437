"""Clinical events (metastasis, nodal and local recurrence, progression) and their endpoints."""

from fhircryo.calendar import ANY_DAY, Span, add_days
from fhircryo.endpoints.catalogue import LOCAL_RECURRENCE, METASTASIS, Endpoint
from fhircryo.endpoints.events import ClinicalEvents, Event, first_reason
from fhircryo.endpoints.result import Absent, Result, Role, absent
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import EventKind, Finding, Lacking, Malignancy, Reason

#: The events that belong to the prostate cancer only if the prostate is their primary.
_SPREAD = frozenset({EventKind.METASTASIS, EventKind.NODAL_RECURRENCE})
_OF_A_PRIMARY = _SPREAD | {EventKind.PROGRESSION}


def clinical_events(timeline: Timeline) -> ClinicalEvents:
    """Return the clinical events of a patient; reports to the timeline what is not an event."""
    found = ClinicalEvents([], [], [], [])
    for diagnosis in timeline.record.diagnoses:
        if diagnosis.problem is not None:
            timeline.report(diagnosis.ref, diagnosis.problem, diagnosis.detail)
    for finding in timeline.record.findings:
        if finding.problem is not None:
            timeline.report(finding.ref, finding.problem, finding.detail)
            continue
        when = ANY_DAY if finding.when is None else timeline.settle(finding.when)
        if when is None:
            timeline.report(finding.ref, Reason.AFTER_AS_OF)
            continue
        for kind in finding.kinds:
            _add(finding, kind, when, timeline, found)
    found.sort()
    return found


def _add(
    finding: Finding, kind: EventKind, when: Span, timeline: Timeline, found: ClinicalEvents
) -> None:
    """Add what a finding states of one kind; ``when``: moved or clipped to the day of death."""
    d0 = timeline.d0
    if kind is EventKind.NODAL_RECURRENCE and when.last <= d0:
        timeline.report(finding.ref, Reason.OUTSIDE_WINDOW, "not after the index procedure")
        return
    if kind in _OF_A_PRIMARY and finding.of_prostate is False:
        timeline.report(finding.ref, Reason.OTHER_PRIMARY, "it names another cancer as its primary")
        return
    if kind is EventKind.LOCAL_RECURRENCE and _is_indication(finding, timeline):
        timeline.report(finding.ref, Reason.OUTSIDE_WINDOW, "the indication for the treatment")
        return
    doubt = _doubt(finding, kind, when, timeline)
    if doubt is not None:
        reason, detail = doubt
        found.possible.append(Event(kind, finding.ref, when, reason, stated=finding.when))
        timeline.report(finding.ref, reason, f"a possible event: {detail}")
    elif when.first > d0:
        found.add(Event(kind, finding.ref, when, stated=finding.when))
    elif kind is EventKind.METASTASIS:
        found.at_baseline.append(Event(kind, finding.ref, when, stated=finding.when))
    else:
        timeline.report(finding.ref, Reason.OUTSIDE_WINDOW, "not after the index procedure")


def _doubt(
    finding: Finding, kind: EventKind, when: Span, timeline: Timeline
) -> tuple[Reason, str] | None:
    """Return why a finding is only a possible event, as reason and words; None if it is not."""
    d0 = timeline.d0
    spread = kind in _SPREAD
    if spread and finding.of_prostate is None and _has_other_malignancy(finding, timeline):
        return Reason.OTHER_PRIMARY, "it may be of another cancer that the patient has"
    if kind is EventKind.METASTASIS and finding.unclear_site:
        return Reason.UNCLEAR_SITE, "its code may mean a regional or a local site"
    if finding.when is None:
        return Reason.NO_USABLE_DATE, "it is undated"
    if when.first <= d0 < when.last:
        return Reason.IMPRECISE_DATE, "its interval contains D0"
    limit = add_days(d0, timeline.protocol.recurrence.indication_days)
    if spread and finding.recorded_only and when.first > d0 and when.last <= limit:
        return Reason.NO_USABLE_DATE, "it has no onset and was recorded soon after D0"
    return None


def _has_other_malignancy(finding: Finding, timeline: Timeline) -> bool:
    """Return whether another malignancy of the patient began by the finding's last day.

    The day as recorded counts, before any move to the day of death, so that what is recorded after
    a death leaves the question open.
    """
    last = timeline.as_of
    if finding.when is not None:
        last = min(last, finding.when.last)
    return any(
        diagnosis.malignancy is Malignancy.OTHER
        and diagnosis.problem is None
        and (diagnosis.when is None or diagnosis.when.first <= last)
        for diagnosis in timeline.record.diagnoses
    )


def _is_indication(finding: Finding, timeline: Timeline) -> bool:
    """Return whether a local recurrence is the indication for the treatment.

    Its interval as recorded counts, before any move to the day of death.
    """
    stated = finding.when
    if stated is None:
        return False
    if stated.last <= timeline.d0:
        return True
    limit = add_days(timeline.d0, timeline.protocol.recurrence.indication_days)
    return finding.recorded_only and stated.last <= limit


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
            final=first.when.precise,
            value=True,
            period=not first.when.precise,
            evidence=(first.evidence(Role.EVENT),),
        )
    uncertain = tuple(event.evidence(Role.VAGUE_EVENT) for event in events.possible)
    if uncertain:
        reason = first_reason(events.possible)
        return absent(endpoint, (timeline.d0, None), Absent.UNKNOWN, reason, uncertain)
    if lacking.conditions:
        return absent(endpoint, (timeline.d0, None), Absent.UNKNOWN, Reason.SOURCE_LACKS_TYPE)
    return Result(endpoint, timeline.d0, None, final=False, value=False, period=True)
