"""Complications: which are attributed to the index procedure, and how bad the worst is.

Sources: Dindo et al. 2004 (Clavien-Dindo), Sacks et al. 2003 (SIR letters).
"""

from datetime import date

import msgspec

from fhircryo.calendar import Span, add_months
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
    Component,
    Evidence,
    Part,
    Reason,
    Result,
    Role,
    Value,
)
from fhircryo.endpoints.timeline import Timeline
from fhircryo.mapping.schema import Scale
from fhircryo.record.items import AdverseEvent, Grading, Lacking

#: Published where no complication is attributed.
NO_COMPLICATION = "none"

_WORST = (WORST_CLAVIEN, WORST_SIR, WORST_CTCAE)
_MAJOR = (MAJOR_CLAVIEN, MAJOR_SIR)


class Complication(msgspec.Struct, gc=False):
    """An attributed event with all its grades, (scale, grade).

    ``vague``: of one that is not attributed, why nobody knows whether it should be (None: it
    should not).
    """

    ref: str
    when: Span | None
    grades: tuple[tuple[str, str], ...]
    vague: Reason | None = None

    def evidence(self, grade: str = "") -> Evidence:
        """This complication as evidence."""
        precise = self.when is not None and self.when.precise
        return Evidence(
            Role.COMPLICATION,
            self.ref,
            grade,
            self.when.first if precise and self.when else None,
        )


class Complications(msgspec.Struct):
    """What is attributed to the index procedure, in order of reference.

    ``events``: adverse events; ``graded``: gradings without one, events of their own.
    ``possible``: with the reason why nobody knows, events only resp. all of them.
    """

    events: list[Complication]
    graded: list[Complication]
    possible_events: list[Reason]
    possible: list[Reason]
    #: What is not attributed; gradings that share an adverse event's fate left out.
    others: list[Complication]
    #: The last day of the window.
    end: date

    @property
    def all(self) -> list[Complication]:
        """Everything that counts as a complication."""
        return self.events + self.graded


def complications(line: Timeline) -> Complications:
    """The patient's complications; what is not attributed is told to the time line."""
    end = add_months(line.d0, line.protocol.complications.window_months)
    found = Complications([], [], [], [], [], end)
    events = sorted(line.record.adverse_events, key=lambda event: event.ref)
    # Of an adverse event after as-of nothing is known, not even that it is there.
    held: dict[str, Complication | None] = {
        ref: None
        for ref, when in line.record.foreign_events.items()
        if when is None or when.first <= line.as_of
    }
    for event in events:
        _place_event(event, line, found, held)
    for grading in sorted(line.record.gradings, key=lambda grading: grading.ref):
        _place_grading(grading, line, found, held)
    return found


def _place_event(
    event: AdverseEvent,
    line: Timeline,
    found: Complications,
    held: dict[str, Complication | None],
) -> None:
    when = None
    if event.when is not None:
        when = line.settle(event.when)
        if when is None:
            line.tell(event.ref, Reason.AFTER_AS_OF)
            return
    held[event.ref] = None
    if event.problem is not None:
        line.tell(event.ref, event.problem)
        return
    if event.taken_as_actual:
        line.tell(event.ref, Reason.STATUS, "no actuality: taken as actual", used=True)
    if event.has_suspects:
        attributed, vague = _to_index(event.suspects, when, line), None
    else:
        attributed, vague = _by_date(when, line, found.end)
    if attributed:
        complication = Complication(event.ref, when, event.grades)
        held[event.ref] = complication
        found.events.append(complication)
        return
    if vague is not None:
        found.possible_events.append(vague)
    _tell_unattributed(Complication(event.ref, when, event.grades, vague), line, found)


def _place_grading(
    grading: Grading,
    line: Timeline,
    found: Complications,
    held: dict[str, Complication | None],
) -> None:
    when = None
    if grading.when is not None:
        when = line.settle(grading.when)
        if when is None:
            line.tell(grading.ref, Reason.AFTER_AS_OF)
            return
    known = [ref for ref in grading.events if ref in held]
    if known:
        graded = [complication for ref in known if (complication := held[ref]) is not None]
        for complication in graded:
            complication.grades += grading.grades
        if not graded:
            line.tell(
                grading.ref,
                Reason.NOT_ATTRIBUTED,
                "as the adverse event that it grades",
            )
        return
    if grading.procedures:
        attributed, vague = _to_index(grading.procedures, when, line), None
    else:
        attributed, vague = _by_date(when, line, found.end)
    if attributed:
        found.graded.append(Complication(grading.ref, when, grading.grades))
    else:
        _tell_unattributed(Complication(grading.ref, when, grading.grades, vague), line, found)


def _tell_unattributed(other: Complication, line: Timeline, found: Complications) -> None:
    found.others.append(other)
    if other.vague is None:
        line.tell(other.ref, Reason.NOT_ATTRIBUTED)
    else:
        found.possible.append(other.vague)
        line.tell(other.ref, other.vague, "a possible complication")


def _to_index(procedures: tuple[str, ...], when: Span | None, line: Timeline) -> bool:
    """Whether one of the procedures is of the index treatment, and the event not before D0."""
    named = any(procedure.ref in procedures for procedure in line.treatment)
    return named and (when is None or when.last >= line.d0)


def _by_date(when: Span | None, line: Timeline, end: date) -> tuple[bool, Reason | None]:
    """Whether an event that names no cause is within the window; the reason if nobody knows."""
    if when is None:
        return False, Reason.NO_USABLE_DATE
    if line.d0 <= when.first and when.last <= end:
        return True, None
    overlaps = when.first <= end and when.last >= line.d0
    return False, Reason.IMPRECISE_DATE if overlaps else None


def complication_endpoints(
    line: Timeline, found: Complications, lacking: Lacking, scales: dict[str, Scale]
) -> list[Result]:
    """The count, the worst grade of each scale, and whether any is major."""
    results = [_count(line, found, lacking)]
    for endpoint in _WORST:
        results.append(_worst(endpoint, line, found, lacking, scales[endpoint.scale]))
    for endpoint in _MAJOR:
        results.append(_major(endpoint, line, found, lacking, scales[endpoint.scale]))
    return results


def _result(
    endpoint: Endpoint,
    line: Timeline,
    found: Complications,
    value: Value | None,
    reason: Reason | None = None,
    evidence: tuple[Evidence, ...] = (),
    components: tuple[Component, ...] = (),
) -> Result:
    return Result(
        endpoint,
        line.d0,
        found.end,
        final=line.as_of >= found.end,
        value=None if reason is not None else value,
        absent=Absent.UNKNOWN if reason is not None else None,
        reason=reason,
        period=True,
        components=components,
        evidence=evidence,
    )


def _unknown(possible: list[Reason], lacks: bool) -> Reason | None:
    """Why "no complication" cannot be said."""
    if Reason.IMPRECISE_DATE in possible:
        return Reason.IMPRECISE_DATE
    if possible:
        return Reason.NO_USABLE_DATE
    return Reason.SOURCE_LACKS_TYPE if lacks else None


def _count(line: Timeline, found: Complications, lacking: Lacking) -> Result:
    count = len(found.events)
    reason = None
    if not count:
        reason = _unknown(found.possible_events, lacking.adverse_events)
    evidence = tuple(complication.evidence() for complication in found.events)
    return _result(ADVERSE_EVENT_COUNT, line, found, count, reason, evidence)


def _lacks(endpoint: Endpoint, lacking: Lacking) -> bool:
    # Grades may also be recorded as Observations.
    return lacking.adverse_events and endpoint.scale not in lacking.graded


def _worst_of(complication: Complication, scale: str, order: tuple[str, ...]) -> int | None:
    """The position of a complication's worst grade on a scale; None without one."""
    return max(
        (order.index(grade) for name, grade in complication.grades if name == scale),
        default=None,
    )


def _worst(
    endpoint: Endpoint,
    line: Timeline,
    found: Complications,
    lacking: Lacking,
    scale: Scale,
) -> Result:
    everything = found.all
    if not everything:
        reason = _unknown(found.possible, _lacks(endpoint, lacking))
        return _result(endpoint, line, found, NO_COMPLICATION, reason)
    graded, ungraded = _graded(everything, endpoint, scale)
    if not graded:
        evidence = tuple(complication.evidence() for complication in everything)
        return _result(endpoint, line, found, None, Reason.UNGRADED, evidence)
    position, complication = max(graded, key=lambda pair: pair[0])
    grade = scale.order[position]
    components = (Component(Part.UNGRADED, ungraded),) if ungraded else ()
    return _result(endpoint, line, found, grade, None, (complication.evidence(grade),), components)


def _graded(
    everything: list[Complication], endpoint: Endpoint, scale: Scale
) -> tuple[list[tuple[int, Complication]], int]:
    """The complications that carry the scale, each with its worst; how many do not."""
    graded = []
    for complication in everything:
        position = _worst_of(complication, endpoint.scale, scale.order)
        if position is not None:
            graded.append((position, complication))
    return graded, len(everything) - len(graded)


def _major(
    endpoint: Endpoint,
    line: Timeline,
    found: Complications,
    lacking: Lacking,
    scale: Scale,
) -> Result:
    rules = line.protocol.complications
    everything = found.all
    graded, ungraded = _graded(everything, endpoint, scale)
    threshold = scale.order.index(rules.major[endpoint.scale])
    grade = ""
    evidence: tuple[Evidence, ...] = ()
    if graded:
        position, complication = max(graded, key=lambda pair: pair[0])
        grade = scale.order[position]
        evidence = (complication.evidence(grade),)
        if position >= threshold:
            return _result(endpoint, line, found, True, None, evidence)
    reason = None
    if ungraded and not rules.ungraded_means_minor:
        reason = Reason.PARTLY_GRADED if graded else Reason.UNGRADED
        evidence = tuple(complication.evidence() for complication in everything)
    elif _may_be_major(grade, threshold, scale):
        reason = Reason.GRADE_NOT_SPECIFIED
    else:
        lacks = not everything and _lacks(endpoint, lacking)
        reason = _unknown(found.possible, lacks)
    return _result(endpoint, line, found, False, reason, evidence)


def _may_be_major(grade: str, threshold: int, scale: Scale) -> bool:
    """Whether an unspecified grade may be as bad as a major one."""
    worse = scale.unspecified.get(grade)
    return worse is not None and scale.order.index(worse) >= threshold
