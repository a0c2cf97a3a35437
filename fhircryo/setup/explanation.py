"""One patient's story: what happened when, what came of it, and what was not used."""

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from fhircryo.calendar import Span
from fhircryo.endpoints.catalogue import BIOCHEMICAL_FAILURE, CATALOGUE, PROM_SCORE, ValueType
from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.endpoints.prom import windows
from fhircryo.endpoints.psa import SeriesPoint
from fhircryo.endpoints.result import Component, Evidence, Part, Result
from fhircryo.errors import UsageError
from fhircryo.publish.shapes import ENCODER, number
from fhircryo.record.collector import type_of
from fhircryo.record.items import Dropped, Issue, Item, PatientRecord, Reason
from fhircryo.runs.run_config import RunConfig
from fhircryo.sources.read_result import ReadResult, is_url, read_source

WHY = {
    Reason.TOO_FEW_PSA: "too few PSA results after the index procedure: a nadir and a result that"
    " is judged against it are needed (for the nadir, a result that can be one)",
    Reason.INSUFFICIENT_PSA: "no clear PSA close enough to the landmark, or later",
    Reason.NO_FOLLOW_UP: "no PSA to censor at",
    Reason.LANDMARK_NOT_REACHED: "as-of is before the landmark",
    Reason.DIED_BEFORE_LANDMARK: "he died on or before the landmark",
    Reason.METASTATIC_AT_BASELINE: "a metastasis on or before D0",
    Reason.IMPRECISE_DATE: "something happened on a day that is not known well enough",
    Reason.NO_USABLE_DATE: "something happened on a day that is not known",
    Reason.SOURCE_LACKS_TYPE: "the source has no resource of the type at all: that is no 'none'",
    Reason.UNGRADED: "complications without a grade of this scale",
    Reason.PARTLY_GRADED: "some complications have no grade of this scale",
    Reason.GRADE_NOT_SPECIFIED: "the worst grade may be minor or major",
}


@dataclass(frozen=True)
class Moment:
    """A line of the story: the date as known, days from D0, what happened, in which resource."""

    date: str
    day: int | None
    what: str
    resource: str


@dataclass(frozen=True)
class Told:
    """An endpoint with its reasoning."""

    endpoint: str
    time_point: str
    value: str
    status: str
    effective: str
    because: list[str]


@dataclass(frozen=True)
class Unused:
    """A resource that is not used (or is, with something to say of it)."""

    resource: str
    reason: str
    detail: str
    used: bool


@dataclass
class Story:
    """What ``explain`` tells."""

    patient: str
    protocol: str
    as_of: str
    index: str | None
    unreadable: int = 0
    moments: list[Moment] = field(default_factory=list)
    endpoints: list[Told] = field(default_factory=list)
    not_used: list[Unused] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The story as plain data, for JSON."""
        return asdict(self)


def explain_folder(
    source: str | Path, patient: str, job: RunConfig, endpoint: str | None = None
) -> Story:
    """The story of a patient in a folder; ``endpoint`` tells only that endpoint's reasoning.

    Raises:
        UsageError: no such endpoint; nothing of this patient in the folder.
        SourceError: the folder cannot be read.
    """
    if endpoint is not None:
        _check_endpoint(endpoint, job)
    if is_url(str(source)):
        # One patient is asked for by his id, not found among all.
        job = replace(job, selection=replace(job.selection, include=frozenset({patient})))
    read = read_source(source, job, trace_patient=patient)
    current = read.reading.patients.current(patient)
    if not read.reading.patients.allowed(current):
        raise UsageError(f"Patient/{patient} is on the list of those who objected")
    record = read.records.records.get(current)
    if record is None:
        story = _outside(read, patient, current, job)
    elif (computed := job.endpoints(record, read.lacking)) is None:
        story = _without_index(record, job)
    else:
        notices = [*computed.line.issues, *read.older.get(current, ())]
        story = tell(computed, job, notices, endpoint)
    story.not_used += _counted(read, current)
    story.unreadable = len(read.reading.shelf.unreadable)
    return story


def _items_of(read: ReadResult, current: str) -> list[Item]:
    """All that was kept of a patient, under whichever of his ids."""
    return [
        item
        for item in read.reading.shelf.kept.values()
        if item.patient and read.reading.patients.current(item.patient) == current
    ]


def _counted(read: ReadResult, current: str) -> list[Unused]:
    """His resources that only count, by code."""
    counts = Counter(
        (item.reason, type_of(item.ref), item.code)
        for item in _items_of(read, current)
        if type(item) is Dropped
    )
    return [
        Unused(f"{number} x {kind}", reason, code, used=False)
        for (reason, kind, code), number in sorted(counts.items())
    ]


def _check_endpoint(endpoint: str, job: RunConfig) -> None:
    known = [entry.key for entry in CATALOGUE]
    for instrument in job.mappings.instruments:
        known += [f"prom-score-{instrument.key}", f"prom-change-{instrument.key}"]
    if endpoint not in known:
        raise UsageError(f"no endpoint {endpoint!r}; there are: {', '.join(known)}")


def _outside(read: ReadResult, patient: str, current: str, job: RunConfig) -> Story:
    """A patient without a candidate: what there is of him, or that there is nothing."""
    items = [item for item in _items_of(read, current) if type(item) is not Dropped]
    listed = {notice.ref: notice for notice, _ in read.records.listed}
    if not items and not _counted(read, current):
        raise UsageError(
            f"Patient/{patient}: he has no index procedure in this source, and nothing else that"
            " is told without one; is the id right, are the site's codes mapped (--mappings)?"
        )
    story = Story(current, job.protocol.name, job.as_of.isoformat(), None)
    for item in sorted(items, key=lambda item: item.ref):
        notice = listed.get(item.ref)
        reason = getattr(item, "reason", None)
        told = notice.reason if notice else reason or Reason.NOT_IN_COHORT
        story.not_used.append(Unused(item.ref, told, getattr(item, "detail", ""), used=False))
    return story


def _without_index(record: PatientRecord, job: RunConfig) -> Story:
    story = Story(record.patient, job.protocol.name, job.as_of.isoformat(), None)
    for treatment in record.treatments:
        detail = f"a cryoablation on {treatment.when.first}"
        story.not_used.append(Unused(treatment.ref, Reason.AFTER_AS_OF, detail, used=False))
    for item in record.not_used:
        story.not_used.append(Unused(item.ref, item.reason, item.detail, used=False))
    return story


def tell(
    computed: PatientEndpoints,
    job: RunConfig,
    notices: list[Issue],
    endpoint: str | None = None,
) -> Story:
    """The story of a computed patient."""
    line = computed.line
    story = Story(line.record.patient, job.protocol.name, job.as_of.isoformat(), line.index.ref)
    story.moments = [moment for _, moment in sorted(_moments(computed), key=lambda pair: pair[0])]
    story.endpoints = [
        _told(result, computed)
        for result in computed.results
        if endpoint is None or endpoint in (result.code, result.endpoint.key)
    ]
    story.not_used = [
        Unused(notice.ref, notice.reason, notice.detail, notice.used) for notice in sorted(notices)
    ]
    return story


_Dated = tuple[tuple[date, str, int, str], Moment]


def _moments(computed: PatientEndpoints) -> list[_Dated]:
    line = computed.line
    found: list[_Dated] = []

    def add(when: Span | None, what: str, ref: str, order: int = 5) -> None:
        if when is None:
            found.append(((date.max, "", order, ref), Moment("undated", None, what, ref)))
            return
        shown = str(when.first) if when.precise else f"{when.first}..{when.last}"
        if when.time:
            shown += f" {when.time[:5]}"
        days = (when.first - line.d0).days
        found.append(
            (
                (when.first, when.time or "00:00:00", order, ref),
                Moment(shown, days, what, ref),
            )
        )

    for number_, treatment in enumerate(line.treatment):
        words = "index procedure" if not number_ else "index treatment, another record of it"
        state = "completed" if treatment.completed else "stopped"
        outcome = "" if treatment.successful else ", recorded as not (fully) successful"
        add(treatment.when, f"{words}: {state}{outcome}", treatment.ref, 0)
    if computed.course.baseline is not None:
        baseline = computed.course.baseline
        add(
            baseline.when,
            f"PSA {_recorded(baseline.recorded, baseline.value)}: baseline",
            baseline.ref,
            1,
        )
    for point in computed.course.points:
        add(point.result.when, _psa_words(point, computed), point.result.ref)
    _add_events(computed, add)
    for window in windows(line.protocol, line.d0) if line.record.responses else ():
        words = f"questionnaires: window of {window.name} opens, to {window.last}"
        add(Span(window.first, window.first), words, "", 9)
    for result in computed.results:
        if result.endpoint is PROM_SCORE:
            words = f"{result.instrument} {_plain(result.value)}: {result.time_point}"
            add(Span(result.start, result.start), words, result.evidence[0].ref)
    if line.died is not None:
        facts = line.record.facts
        add(line.died, "died", facts.ref if facts else "", 8)
    elif line.died_undated and line.record.facts is not None:
        add(None, "died", line.record.facts.ref, 8)
    return found


def _add_events(computed: PatientEndpoints, add: Any) -> None:
    record = computed.line.record
    codes = {item.ref: f": {item.code}" for item in (*record.therapies, *computed.line.repeats)}
    everything = computed.events.and_also(computed.therapies)
    for events, words in (
        (everything.at_baseline, "{} at baseline"),
        (everything.precise, "{}"),
        (everything.intervals, "{}, on one of these days"),
        (everything.possible, "{}, possible: neither counted nor ruled out"),
    ):
        for event in events:
            what = words.format(event.kind) + codes.get(event.ref, "")
            add(event.when if event.dated else None, what, event.ref)
    for complication in computed.complications.all:
        grades = ", ".join(f"{scale} {grade}" for scale, grade in sorted(complication.grades))
        add(complication.when, f"complication: {grades or 'ungraded'}", complication.ref)


def _psa_words(point: SeriesPoint, computed: PatientEndpoints) -> str:
    words = f"PSA {_recorded(point.result.recorded, point.value)}"
    if point.nadir is not None:
        words += f"; nadir {_plain(point.nadir)}, threshold {_plain(point.threshold)}"
    words += f": {point.judgement}"
    failure, therapy = computed.course.failure, computed.course.therapy
    if point is failure:
        words += ", biochemical failure"
    elif failure is not None and point.day > failure.day:
        words += " (after the failure)"
    elif therapy is not None and point.day > therapy.when.last:
        words += " (after salvage therapy)"
    return words


def _recorded(recorded: str, value: Decimal | None) -> str:
    """As recorded, with what it is in ng/mL where that is not what it says."""
    if value is None:
        return recorded
    shown = f"{_plain(value)} ng/mL"
    return recorded if recorded == shown else f"{recorded} (= {shown})"


def _plain(value: object) -> str:
    if isinstance(value, Decimal | Fraction):
        return ENCODER.encode(number(value)).decode()
    return str(value)


def _told(result: Result, computed: PatientEndpoints) -> Told:
    return Told(
        endpoint=result.code,
        time_point=result.time_point,
        value=_value(result),
        status="final" if result.final else "preliminary",
        effective=_effective(result),
        because=_because(result, computed),
    )


def _value(result: Result) -> str:
    value = result.value
    if value is None:
        return f"absent ({result.absent}: {result.reason})"
    if isinstance(value, bool):
        return "Y" if value else "N"
    if result.endpoint.value_type is ValueType.DAYS:
        event = any(part.part is Part.EVENT and part.value for part in result.components)
        return f"{value} days, {'event' if event else 'censored'}"
    unit = " ng/mL" if result.endpoint.value_type is ValueType.PSA else ""
    return f"{_plain(value)}{unit}"


def _effective(result: Result) -> str:
    if not result.period:
        return result.start.isoformat()
    return f"{result.start} .. {result.end or ''}".strip()


def _because(result: Result, computed: PatientEndpoints) -> list[str]:
    lines = []
    roles = {str(evidence.role) for evidence in result.evidence}
    if result.endpoint is BIOCHEMICAL_FAILURE:
        rule = computed.line.protocol.biochemical_failure
        lines.append(f"{rule.definition.capitalize()}: nadir + {_plain(rule.rise)} ng/mL")
    if result.reason is not None:
        lines.append(WHY.get(result.reason, str(result.reason)))
    for part in result.components:
        if part.part not in (Part.EVENT, Part.TIME_POINT) and str(part.part) not in roles:
            lines.append(_component_words(part))
    for evidence in result.evidence:
        lines.append(_evidence_words(evidence))
    if not lines and result.endpoint.key == "technical-success":
        lines.append(f"index procedure {computed.line.index.ref}")
    if not lines:
        lines.append("nothing recorded that would say otherwise")
    return lines


def _component_words(part: Component) -> str:
    if isinstance(part.value, Span):
        days = part.value
        when = str(days.first) if days.precise else f"one day of {days.first}..{days.last}"
        return f"{part.part} since {when}: PSA after it may be lowered"
    unit = "" if part.part in (Part.UNGRADED, Part.BASELINE_SCORE) else " ng/mL"
    return f"{part.part} {_plain(part.value)}{unit}"


def _evidence_words(evidence: Evidence) -> str:
    value = "" if evidence.value in ("", evidence.role) else f" {_plain(evidence.value)}"
    if isinstance(evidence.value, Decimal):
        value += " ng/mL"
    when = f", {evidence.day}" if evidence.day else ""
    return f"{evidence.role}{value} ({evidence.ref}{when})"
