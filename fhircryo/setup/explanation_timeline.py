"""The time line of a patient's explanation: everything that happened, in order of time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from fhircryo.calendar import Span
from fhircryo.endpoints.catalogue import PROM_SCORE
from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.endpoints.prom import windows
from fhircryo.endpoints.psa import PsaCourse, SeriesPoint
from fhircryo.endpoints.timeline import Timeline
from fhircryo.setup.explanation_words import plain


@dataclass(frozen=True)
class Moment:
    """A line of the time line.

    ``date``: as far as it is known. ``day``: days from D0, None if undated. ``what``: what
    happened. ``resource``: the resource that says so, empty if none does.
    """

    date: str
    day: int | None
    what: str
    resource: str


class _Happening(NamedTuple):
    """Something that happened; ``when`` is None if undated. ``rank`` orders what has one time."""

    when: Span | None
    what: str
    ref: str
    rank: int = 5

    @property
    def order(self) -> tuple[date, str, int, str]:
        """The key that sorts by time, the undated last."""
        if self.when is None:
            return (date.max, "", self.rank, self.ref)
        return (self.when.first, self.when.time or "00:00:00", self.rank, self.ref)

    def moment(self, d0: date) -> Moment:
        """The line of the time line."""
        when = self.when
        if when is None:
            return Moment("undated", None, self.what, self.ref)
        shown = str(when.first) if when.precise else f"{when.first}..{when.last}"
        if when.time:
            shown += f" {when.time[:5]}"
        return Moment(shown, (when.first - d0).days, self.what, self.ref)


def moments(computed: PatientEndpoints) -> list[Moment]:
    """The time line of a patient, in order of time, the undated last."""
    line = computed.line
    happenings = [
        *_treatment(line),
        *_psa(computed.course.psa),
        *_events(computed),
        *_questionnaires(computed),
        *_death(line),
    ]
    return [happening.moment(line.d0) for happening in sorted(happenings, key=_order)]


def _order(happening: _Happening) -> tuple[date, str, int, str]:
    return happening.order


def _treatment(line: Timeline) -> Iterator[_Happening]:
    for number, treatment in enumerate(line.treatment):
        words = "index procedure" if not number else "index treatment, another record of it"
        state = "completed" if treatment.completed else "stopped"
        outcome = "" if treatment.successful else ", recorded as not (fully) successful"
        yield _Happening(treatment.when, f"{words}: {state}{outcome}", treatment.ref, 0)


def _psa(course: PsaCourse) -> Iterator[_Happening]:
    baseline = course.baseline
    if baseline is not None:
        recorded = _recorded(baseline.recorded, baseline.value)
        yield _Happening(baseline.when, f"PSA {recorded}: baseline", baseline.ref, 1)
    for point in course.points:
        yield _Happening(point.result.when, _psa_words(point, course), point.result.ref)


def _psa_words(point: SeriesPoint, course: PsaCourse) -> str:
    words = f"PSA {_recorded(point.result.recorded, point.value)}"
    if point.nadir is not None:
        words += f"; nadir {plain(point.nadir)}, threshold {plain(point.threshold)}"
    words += f": {point.judgement}"
    failure, therapy = course.failure, course.therapy
    if point is failure:
        words += ", biochemical failure"
    elif failure is not None and point.day > failure.day:
        words += " (after the failure)"
    elif therapy is not None and point.day > therapy.when.last:
        words += " (after salvage therapy)"
    return words


def _recorded(recorded: str, value: Decimal | None) -> str:
    """A result as recorded, followed by its value in ng/mL if it was recorded in another way."""
    if value is None:
        return recorded
    shown = f"{plain(value)} ng/mL"
    return recorded if recorded == shown else f"{recorded} (= {shown})"


def _events(computed: PatientEndpoints) -> Iterator[_Happening]:
    course, line = computed.course, computed.line
    coded = (*line.record.therapies, *line.repeats)
    codes = {item.ref: f": {item.code}" for item in coded}
    clinical = course.events.and_also(course.therapies)
    for events, words in (
        (clinical.at_baseline, "{} at baseline"),
        (clinical.precise, "{}"),
        (clinical.intervals, "{}, on one of these days"),
        (clinical.possible, "{}, possible: neither counted nor ruled out"),
    ):
        for event in events:
            what = words.format(event.kind) + codes.get(event.ref, "")
            yield _Happening(event.when if event.dated else None, what, event.ref)
    for complication in course.complications.all:
        grades = ", ".join(f"{scale} {grade}" for scale, grade in sorted(complication.grades))
        what = f"complication: {grades or 'ungraded'}"
        yield _Happening(complication.when, what, complication.ref)


def _questionnaires(computed: PatientEndpoints) -> Iterator[_Happening]:
    line = computed.line
    for window in windows(line.protocol, line.d0) if line.record.responses else ():
        words = f"questionnaires: window of {window.name} opens, to {window.last}"
        yield _Happening(Span(window.first, window.first), words, "", 9)
    for result in computed.results:
        if result.endpoint is PROM_SCORE:
            words = f"{result.instrument} {plain(result.value)}: {result.time_point}"
            day = Span(result.start, result.start)
            yield _Happening(day, words, result.evidence[0].ref)


def _death(line: Timeline) -> Iterator[_Happening]:
    facts = line.record.facts
    ref = facts.ref if facts is not None else ""
    if line.died is not None:
        yield _Happening(line.died, "died", ref, 8)
    elif line.died_undated and facts is not None:
        yield _Happening(None, "died", ref, 8)
