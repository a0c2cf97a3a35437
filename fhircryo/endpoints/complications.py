"""Complications: which are attributed to the index procedure, and their worst grades.

Sources: Dindo et al. 2004 (Clavien-Dindo), Sacks et al. 2003 (SIR letters).
"""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

import msgspec

from fhircryo.calendar import Span, add_days
from fhircryo.endpoints.catalogue import (
    ADVERSE_EVENT_COUNT,
    MAJOR_CLAVIEN,
    MAJOR_SIR,
    WORST_CLAVIEN,
    WORST_CTCAE,
    WORST_SIR,
    Endpoint,
)
from fhircryo.endpoints.result import (
    Absent,
    ComponentKey,
    Evidence,
    Reason,
    Result,
    ResultComponent,
    Role,
    Value,
)
from fhircryo.endpoints.timeline import Timeline
from fhircryo.mapping.grade_schema import (
    Scale,
)
from fhircryo.record.items import AdverseEvent, Grading, Lacking

#: The worst grade of a patient without attributed complications.
NO_COMPLICATION = "none"

_WORST = (WORST_CLAVIEN, WORST_SIR, WORST_CTCAE)
_MAJOR = (MAJOR_CLAVIEN, MAJOR_SIR)


class Complication(msgspec.Struct, gc=False):
    """An adverse event or a grading, with all its grades, each as (scale, grade).

    ``when``: its day or interval (None: no usable date). ``possible_reason``: set on a possible
    complication, the reason why it cannot be attributed or ruled out. ``kinds``: what kind of
    complication it is, by the mapping of complication kinds; empty if that says nothing.
    """

    ref: str
    when: Span | None
    grades: tuple[tuple[str, str], ...]
    possible_reason: Reason | None = None
    kinds: tuple[str, ...] = ()

    def evidence(self, grade: str = "") -> Evidence:
        """Return this complication as evidence for a result; ``grade``: the grade that decides."""
        precise = self.when is not None and self.when.precise
        return Evidence(
            Role.COMPLICATION,
            self.ref,
            grade,
            self.when.first if precise and self.when else None,
        )


class Complications(msgspec.Struct):
    """The adverse events and gradings of a patient, by attribution, in order of reference."""

    #: The last day on which an event without a suspect is attributed.
    end: date
    #: Attributed adverse events.
    events: list[Complication] = []
    #: Attributed gradings that belong to no adverse event of the source.
    gradings: list[Complication] = []
    #: The reasons of possible adverse events.
    possible_events: list[Reason] = []
    #: All possible complications.
    possible: list[Complication] = []
    #: Adverse events and gradings that are not attributed; without gradings of an adverse event.
    others: list[Complication] = []

    @property
    def all(self) -> list[Complication]:
        """All attributed complications: adverse events, then gradings."""
        return self.events + self.gradings


#: Adverse events by reference: the complication, or None if the event is certainly not one.
_EventsByRef = dict[str, Complication | None]


def complications(timeline: Timeline) -> Complications:
    """Return the complications of a patient; reports to the timeline what is not attributed."""
    found = Complications(
        add_days(timeline.d0, timeline.protocol.complications.window_days), [], [], [], [], []
    )
    # Adverse events of other patients, or of no patient. One after as-of does not exist.
    by_ref: _EventsByRef = {
        ref: None
        for ref, when in timeline.record.foreign_events.items()
        if when is None or when.first <= timeline.as_of
    }
    for event in sorted(timeline.record.adverse_events, key=lambda event: event.ref):
        _add_event(event, timeline, found, by_ref)
    for grading in sorted(timeline.record.gradings, key=lambda grading: grading.ref):
        _add_grading(grading, timeline, found, by_ref)
    return found


def _add_event(
    event: AdverseEvent, timeline: Timeline, found: Complications, by_ref: _EventsByRef
) -> None:
    when = _dated(event, timeline)
    if when is not None:
        when = timeline.settle(when)
        if when is None:
            timeline.report(event.ref, Reason.AFTER_AS_OF)
            return
    by_ref[event.ref] = None
    if event.problem is not None:
        timeline.report(event.ref, event.problem)
        return
    if event.taken_as_actual:
        timeline.report(event.ref, Reason.STATUS, "no actuality: taken as actual", used=True)
    if event.has_suspects:
        attributed, possible_reason = _suspects_index(event.suspects, when, timeline), None
    else:
        attributed, possible_reason = _within_window(when, timeline, found.end)
    complication = Complication(event.ref, when, event.grades, possible_reason, event.kinds)
    if attributed:
        by_ref[event.ref] = complication
        found.events.append(complication)
        return
    if possible_reason is not None:
        by_ref[event.ref] = complication
        found.possible_events.append(possible_reason)
    _add_unattributed(complication, timeline, found, linked=event.has_suspects)


def _dated(event: AdverseEvent, timeline: Timeline) -> Span | None:
    """Return the date of an adverse event, else what the date of recording says of it.

    An event that was recorded before D0 happened before D0; one recorded later, from D0 to then.
    """
    if event.when is not None or event.recorded is None:
        return event.when
    recorded = event.recorded
    if recorded.first > timeline.as_of or recorded.last < timeline.d0:
        return recorded
    return Span(timeline.d0, recorded.last)


def _add_grading(
    grading: Grading, timeline: Timeline, found: Complications, by_ref: _EventsByRef
) -> None:
    """Add a grading to the adverse events that it grades, else as a complication of its own."""
    when = None
    if grading.when is not None:
        when = timeline.settle(grading.when)
        if when is None:
            timeline.report(grading.ref, Reason.AFTER_AS_OF)
            return
    known = [ref for ref in grading.events if ref in by_ref]
    if known:
        graded = [event for ref in known if (event := by_ref[ref]) is not None]
        for event in graded:
            # Distinct grades are few, however many gradings state them.
            event.grades += tuple(one for one in grading.grades if one not in event.grades)
        if all(event.possible_reason is not None for event in graded):
            reason = graded[0].possible_reason if graded else None
            detail = "like the adverse event that it grades"
            timeline.report(grading.ref, reason or Reason.NOT_ATTRIBUTED, detail)
        return
    if grading.procedures:
        attributed, possible_reason = _suspects_index(grading.procedures, when, timeline), None
    else:
        attributed, possible_reason = _within_window(when, timeline, found.end)
    complication = Complication(grading.ref, when, grading.grades, possible_reason)
    if attributed:
        found.gradings.append(complication)
    else:
        linked = bool(grading.procedures)
        _add_unattributed(complication, timeline, found, linked=linked)


def _add_unattributed(
    other: Complication, timeline: Timeline, found: Complications, *, linked: bool
) -> None:
    """Report what is not attributed; ``linked``: it names suspects or procedures."""
    found.others.append(other)
    if other.possible_reason is None:
        timeline.report(other.ref, Reason.NOT_ATTRIBUTED if linked else Reason.OUTSIDE_WINDOW)
    else:
        found.possible.append(other)
        timeline.report(other.ref, other.possible_reason, "a possible complication")


def _suspects_index(procedures: tuple[str, ...], when: Span | None, timeline: Timeline) -> bool:
    """Return whether a suspect is a Procedure of the index treatment, or a session of one.

    An event that lies wholly before D0 is not attributed.
    """
    suspected = not timeline.treatment_refs.isdisjoint(procedures)
    return suspected and (when is None or when.last >= timeline.d0)


def _within_window(when: Span | None, timeline: Timeline, end: date) -> tuple[bool, Reason | None]:
    """Return whether an event without suspects lies wholly in D0 .. ``end``.

    If that cannot be decided, the second value is the reason of a possible complication.
    """
    if when is None:
        return False, Reason.NO_USABLE_DATE
    if timeline.d0 <= when.first and when.last <= end:
        return True, None
    overlaps = when.first <= end and when.last >= timeline.d0
    return False, Reason.IMPRECISE_DATE if overlaps else None


class _Input(NamedTuple):
    """The input of every endpoint about complications."""

    timeline: Timeline
    found: Complications
    lacking: Lacking


def complication_endpoints(
    timeline: Timeline, found: Complications, lacking: Lacking, scales: dict[str, Scale]
) -> list[Result]:
    """Return the count, the worst grade of each scale, and whether any is major."""
    given = _Input(timeline, found, lacking)
    return [
        _count(given),
        *(_worst(endpoint, given, scales[endpoint.scale]) for endpoint in _WORST),
        *(_major(endpoint, given, scales[endpoint.scale]) for endpoint in _MAJOR),
    ]


def _result(
    endpoint: Endpoint,
    given: _Input,
    value: Value | None,
    reason: Reason | None = None,
    evidence: tuple[Evidence, ...] = (),
    components: tuple[ResultComponent, ...] = (),
) -> Result:
    """Return the result with ``value``, or without a value if there is a ``reason``."""
    return Result(
        endpoint,
        given.timeline.d0,
        given.found.end,
        final=given.timeline.as_of >= given.found.end,
        value=None if reason is not None else value,
        absent=Absent.UNKNOWN if reason is not None else None,
        reason=reason,
        period=True,
        components=components,
        evidence=evidence,
    )


def _unknown(possible: list[Reason], lacks: bool) -> Reason | None:
    """Return the reason why the absence of a complication is not known; None if it is known.

    ``possible``: the reasons of the possible complications that matter. ``lacks``: the source lacks
    the resources that would state a complication.
    """
    if Reason.IMPRECISE_DATE in possible:
        return Reason.IMPRECISE_DATE
    if possible:
        return Reason.NO_USABLE_DATE
    return Reason.SOURCE_LACKS_TYPE if lacks else None


def _reasons(possible: Iterable[Complication]) -> list[Reason]:
    return [one.possible_reason for one in possible if one.possible_reason is not None]


def _count(given: _Input) -> Result:
    """``adverse-event-count``: attributed adverse events; gradings alone do not count."""
    events = given.found.events
    reason = None
    if not events:
        reason = _unknown(given.found.possible_events, given.lacking.adverse_events)
    evidence = tuple(event.evidence() for event in events)
    return _result(ADVERSE_EVENT_COUNT, given, len(events), reason, evidence)


def _lacks(endpoint: Endpoint, lacking: Lacking) -> bool:
    # Grades may also be recorded as Observations.
    return lacking.adverse_events and endpoint.scale not in lacking.graded


def _graded(
    attributed: Iterable[Complication], scale: str, order: tuple[str, ...]
) -> list[tuple[int, Complication]]:
    """Return the complications with a grade of the scale, and the position of the worst one."""
    graded = []
    for complication in attributed:
        positions = [order.index(grade) for name, grade in complication.grades if name == scale]
        if positions:
            graded.append((max(positions), complication))
    return graded


def _worst(endpoint: Endpoint, given: _Input, scale: Scale) -> Result:
    """``worst-*``: the worst grade; else why it is not known, or that there is no complication."""
    attributed, possible = given.found.all, given.found.possible
    if not attributed:
        reason = _unknown(_reasons(possible), _lacks(endpoint, given.lacking))
        return _result(endpoint, given, NO_COMPLICATION, reason)
    graded = _graded(attributed, endpoint.scale, scale.order)
    if not graded:
        evidence = tuple(complication.evidence() for complication in attributed)
        return _result(endpoint, given, None, Reason.UNGRADED, evidence)
    position, worst = max(graded, key=lambda pair: pair[0])
    grade = scale.order[position]
    ungraded = len(attributed) - len(graded)
    components = (ResultComponent(ComponentKey.UNGRADED, ungraded),) if ungraded else ()
    worse = [
        one for found, one in _graded(possible, endpoint.scale, scale.order) if found > position
    ]
    reason = _unknown(_reasons(worse), lacks=False)
    return _result(endpoint, given, grade, reason, (worst.evidence(grade),), components)


def _major(endpoint: Endpoint, given: _Input, scale: Scale) -> Result:
    """``major-complication-*``: yes, no, or why it is not known."""
    rules = given.timeline.protocol.complications
    attributed = given.found.all
    graded = _graded(attributed, endpoint.scale, scale.order)
    threshold = scale.order.index(rules.major[endpoint.scale])
    grade = ""
    evidence: tuple[Evidence, ...] = ()
    if graded:
        position, worst = max(graded, key=lambda pair: pair[0])
        grade = scale.order[position]
        evidence = (worst.evidence(grade),)
        if position >= threshold:
            return _result(endpoint, given, True, None, evidence)
    if len(graded) < len(attributed) and not rules.ungraded_means_minor:
        reason = Reason.PARTLY_GRADED if graded else Reason.UNGRADED
        evidence = tuple(complication.evidence() for complication in attributed)
        return _result(endpoint, given, False, reason, evidence)
    if _may_be_major(grade, threshold, scale):
        return _result(endpoint, given, False, Reason.GRADE_NOT_SPECIFIED, evidence)
    doubts = [
        one for one in given.found.possible if _may_count_as_major(one, endpoint, given, scale)
    ]
    lacks = not attributed and _lacks(endpoint, given.lacking)
    return _result(endpoint, given, False, _unknown(_reasons(doubts), lacks), evidence)


def _may_count_as_major(
    possible: Complication, endpoint: Endpoint, given: _Input, scale: Scale
) -> bool:
    """Return whether a possible complication, if it were attributed, may be a major one.

    It may be if it carries a major grade of the scale, one that may mean a major grade, or none.
    """
    major = given.timeline.protocol.complications.major[endpoint.scale]
    threshold = scale.order.index(major)
    grades = [grade for name, grade in possible.grades if name == endpoint.scale]
    return not grades or any(
        scale.order.index(grade) >= threshold or _may_be_major(grade, threshold, scale)
        for grade in grades
    )


def _may_be_major(grade: str, threshold: int, scale: Scale) -> bool:
    """Return whether a grade without subgrade, such as III, may mean a major grade."""
    worst = scale.unspecified.get(grade)
    return worst is not None and scale.order.index(worst) >= threshold
