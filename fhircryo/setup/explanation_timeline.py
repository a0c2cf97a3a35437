"""The time line of a patient's explanation: everything that happened, in order of time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from fhircryo.calendar import Span
from fhircryo.endpoints.catalogue import PROM_SCORE
from fhircryo.endpoints.complications import Complication
from fhircryo.endpoints.events import Event
from fhircryo.endpoints.patient_course import PatientCourse
from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.endpoints.prom import windows
from fhircryo.endpoints.timeline import Timeline
from fhircryo.record.items import Cause, EventKind, Finding, Malignancy, Therapy
from fhircryo.setup.explanation_psa import psa_happenings
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
    line, course = computed.line, computed.course
    happenings = [
        *_treatment(line),
        *_psa(course),
        *_diagnoses(line),
        *_events(course),
        *_hormone_therapy(course),
        *_complications(course),
        *_questionnaires(computed),
        *_contact(course),
        *_death(course),
    ]
    return [happening.moment(line.d0) for happening in sorted(happenings, key=_order)]


def _order(happening: _Happening) -> tuple[date, str, int, str]:
    return happening.order


def _treatment(line: Timeline) -> Iterator[_Happening]:
    for number, treatment in enumerate(line.treatment):
        words = "index procedure" if not number else "index treatment, another record of it"
        state = "completed" if treatment.completed else "stopped"
        outcome = "" if treatment.successful else ", recorded as not (fully) successful"
        session = f", part of {', '.join(treatment.sessions)}" if treatment.sessions else ""
        yield _Happening(treatment.when, f"{words}: {state}{outcome}{session}", treatment.ref, 0)


def _psa(course: PatientCourse) -> Iterator[_Happening]:
    for when, words, ref, baseline in psa_happenings(course.line, course.psa):
        yield _Happening(when, words, ref, 1 if baseline else 5)


def _diagnoses(line: Timeline) -> Iterator[_Happening]:
    """The other malignancies, of which a metastasis may be."""
    for diagnosis in line.record.diagnoses:
        existing = diagnosis.when is None or diagnosis.when.first <= line.as_of
        if diagnosis.malignancy is Malignancy.OTHER and diagnosis.problem is None and existing:
            what = f"another malignancy: {diagnosis.code}"
            yield _Happening(diagnosis.when, what, diagnosis.ref)


def _events(course: PatientCourse) -> Iterator[_Happening]:
    line = course.line
    coded = {item.ref: item for item in (*line.record.therapies, *line.repeats)}
    findings = {finding.ref: finding for finding in line.record.findings}
    clinical = course.events.and_also(course.therapies)
    for events, words in (
        (clinical.at_baseline, "{} at baseline"),
        (clinical.precise, "{}"),
        (clinical.intervals, "{}, on one of these days"),
        (clinical.possible, "{}, possible: neither counted nor ruled out"),
    ):
        for event in events:
            what = words.format(event.kind)
            if events is clinical.possible:
                what += f" ({event.reason})"
            if event.ref in coded:
                what += f": {coded[event.ref].code}"
            what += _primary(event, findings.get(event.ref)) + _moved(event)
            yield _Happening(event.when if event.dated else None, what, event.ref)


def _primary(event: Event, finding: Finding | None) -> str:
    """Which primary cancer a metastasis or nodal recurrence names."""
    if finding is None or event.kind not in (EventKind.METASTASIS, EventKind.NODAL_RECURRENCE):
        return ""
    if finding.of_prostate:
        return "; it names the prostate cancer as its primary"
    return "; it names no primary that the source holds"


def _moved(event: Event) -> str:
    """Where an event that is dated after the death was recorded."""
    stated = event.stated
    if stated is None or stated.last <= event.when.last:
        return ""
    recorded = str(stated.first) if stated.precise else f"{stated.first}..{stated.last}"
    return f"; recorded for {recorded}, moved to the day of death"


def _hormone_therapy(course: PatientCourse) -> Iterator[_Happening]:
    """Hormone therapy that is no salvage therapy: at index, and what continues it."""
    hormone = course.hormone
    later = f"; later therapy continues it up to a gap of {hormone.days} days"
    for therapy in hormone.at_index:
        yield _therapy(therapy, f"hormone therapy at index{later}")
    for therapy in hormone.continued:
        yield _therapy(therapy, "continues the hormone therapy at index, no salvage therapy")
    for therapy in hormone.open:
        yield _therapy(therapy, "hormone therapy that may still have been given at D0")


def _therapy(therapy: Therapy, words: str) -> _Happening:
    end = f", until {therapy.end.last}" if therapy.end is not None else ""
    return _Happening(therapy.when, f"{words}: {therapy.code}{end}", therapy.ref)


def _complications(course: PatientCourse) -> Iterator[_Happening]:
    found = course.complications
    for complication in found.all:
        yield _complication(complication, "complication")
    for complication in found.possible:
        reason = complication.possible_reason
        yield _complication(complication, f"possible complication ({reason})")


def _complication(complication: Complication, words: str) -> _Happening:
    grades = ", ".join(f"{scale} {grade}" for scale, grade in sorted(complication.grades))
    kinds = f" ({', '.join(complication.kinds)})" if complication.kinds else ""
    what = f"{words}: {grades or 'ungraded'}{kinds}"
    return _Happening(complication.when, what, complication.ref)


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


def _contact(course: PatientCourse) -> Iterator[_Happening]:
    contact = course.contact
    if contact is not None:
        yield _Happening(Span(contact.day, contact.day), "last contact", contact.ref, 7)


def _death(course: PatientCourse) -> Iterator[_Happening]:
    death = course.death
    if death is None:
        return
    cause = f"; cause: {_CAUSES[death.cause]}"
    if death.cause_ref:
        cause += f" ({death.cause_ref})"
    if death.when.precise:
        yield _Happening(death.when, f"died{cause}", death.ref, 8)
    else:
        yield _Happening(death.when, f"died, on one of these days{cause}", death.ref, 8)


_CAUSES = {
    Cause.PROSTATE_CANCER: "prostate cancer",
    Cause.OTHER: "not prostate cancer",
    Cause.UNKNOWN: "unknown",
}
