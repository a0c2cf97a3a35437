"""Times from D0 to an event, or censored: the general form, and the seven endpoints.

An endpoint has kinds of events and a censoring day. A time whose event is known only by an interval
is kept as an interval.
"""

from collections.abc import Iterable
from datetime import date

import msgspec

from fhircryo.calendar import add_days, add_months
from fhircryo.endpoints.catalogue import (
    CANCER_SPECIFIC_SURVIVAL,
    DISEASE_FREE_SURVIVAL,
    FAILURE_FREE_SURVIVAL,
    METASTASIS_FREE_SURVIVAL,
    OVERALL_SURVIVAL,
    TIME_TO_FAILURE,
    TIME_TO_SALVAGE_THERAPY,
    Endpoint,
)
from fhircryo.endpoints.death import Death
from fhircryo.endpoints.events import ClinicalEvents, Event, first_reason
from fhircryo.endpoints.failure import psa_evidence
from fhircryo.endpoints.patient_course import PatientCourse
from fhircryo.endpoints.result import (
    Absent,
    ComponentKey,
    Evidence,
    Reason,
    Result,
    ResultComponent,
    Role,
    absent,
)
from fhircryo.record.items import Cause, EventKind


class CensoringDay(msgspec.Struct, frozen=True):
    """The day up to which the patient is known to be free of the event, and what shows it."""

    day: date
    evidence: tuple[Evidence, ...] = ()


class _Time(msgspec.Struct):
    """The kinds of events and the censoring day of an endpoint, for one patient.

    ``known`` and ``possible``: the events that count. ``death``: the death, where it is an event.
    ``ending``: a death that ends the time as censored. ``censored``: the censoring day.
    ``without_day``: the reason where there is no such day. ``unknown``: the reason, with its
    evidence, for which a censored time is not known (None: it is).
    """

    endpoint: Endpoint
    course: PatientCourse
    known: list[Event]
    possible: list[Event]
    censored: CensoringDay | None
    without_day: Reason = Reason.NO_FOLLOW_UP
    death: Death | None = None
    ending: CensoringDay | None = None
    unknown: tuple[Reason, tuple[Evidence, ...]] | None = None

    def absent(self, reason: Reason, evidence: Iterable[Evidence] = ()) -> Result:
        """Return the endpoint without a value."""
        period = (self.course.line.d0, None)
        return absent(self.endpoint, period, Absent.UNKNOWN, reason, evidence)

    def result(self) -> Result:
        """Return the endpoint by the first rule that applies, metastasis at baseline aside."""
        known = [*self.known, self.death.event()] if self.death is not None else self.known
        earliest = add_days(self.course.line.d0, 1)
        if known:
            first = min(event.when.first for event in known)
            last = min(event.when.last for event in known)
            doubts = [one for one in self.possible if max(one.when.first, earliest) < last]
            if doubts:
                return self._doubtful(doubts)
            return self._event(known, first, last)
        if self.possible:
            return self._doubtful(self.possible)
        end = self.ending or self.censored
        if end is None:
            return self.absent(self.without_day)
        if self.unknown is not None:
            return self.absent(*self.unknown)
        return self._censored(end)

    def _doubtful(self, events: list[Event]) -> Result:
        vague = (event.evidence(Role.VAGUE_EVENT) for event in events)
        return self.absent(first_reason(events), vague)

    def _event(self, known: list[Event], first: date, last: date) -> Result:
        """Return the time to the event; ``first`` and ``last``: the days it can have been on."""
        d0 = self.course.line.d0
        deciding = min(known, key=lambda event: (event.when.last, event.when.first, event.ref))
        is_death = self.death is not None and deciding.kind is EventKind.DEATH
        evidence = self.death.evidence() if self.death and is_death else (deciding.evidence(),)
        earlier = next((event for event in known if event.when.first == first), deciding)
        if earlier.ref != deciding.ref:
            evidence = (earlier.evidence(), *evidence)
        return Result(
            self.endpoint,
            first,
            last,
            final=first == last,
            value=(first - d0).days,
            high=(last - d0).days if first != last else None,
            period=first != last,
            components=(ResultComponent(ComponentKey.EVENT, True),),
            evidence=evidence,
        )

    def _censored(self, end: CensoringDay) -> Result:
        return Result(
            self.endpoint,
            end.day,
            end.day,
            final=False,
            value=(end.day - self.course.line.d0).days,
            components=(ResultComponent(ComponentKey.EVENT, False),),
            evidence=end.evidence,
        )


def time_to_failure(course: PatientCourse) -> Result:
    """Return ``time-to-biochemical-failure``: else censored at the last clear PSA."""
    return _Time(
        TIME_TO_FAILURE,
        course,
        course.failures.known,
        course.failures.possible,
        _last_clear(course),
        without_day=Reason.TOO_FEW_PSA,
        unknown=_doubtful_therapy(course),
    ).result()


def disease_free_survival(course: PatientCourse) -> Result:
    """Return ``disease-free-survival``: to any event of disease or death.

    Else it is censored at the last clear PSA.
    """
    events = course.disease
    if events.at_baseline:
        return _at_baseline(DISEASE_FREE_SURVIVAL, course)
    censored = _last_clear(course)
    unknown = _doubtful_therapy(course)
    if unknown is None and course.lacks_response:
        unknown = (Reason.NO_PSA_RESPONSE, censored.evidence if censored is not None else ())
    if unknown is None and (course.lacking.conditions or course.lacks_therapies):
        unknown = (Reason.SOURCE_LACKS_TYPE, ())
    return _Time(
        DISEASE_FREE_SURVIVAL,
        course,
        events.known,
        events.possible,
        censored,
        death=_death_within_gap(course, censored),
        unknown=unknown,
    ).result()


def metastasis_free_survival(course: PatientCourse) -> Result:
    """Return ``metastasis-free-survival``: to metastasis or death, else to the last contact."""
    if course.events.at_baseline:
        return _at_baseline(METASTASIS_FREE_SURVIVAL, course)
    events = course.events.of(EventKind.METASTASIS)
    censored = _last_contact(course)
    return _Time(
        METASTASIS_FREE_SURVIVAL,
        course,
        events.known,
        events.possible,
        censored,
        death=_death_within_gap(course, censored),
        unknown=_lacking_type(course.lacking.conditions),
    ).result()


def failure_free_survival(course: PatientCourse) -> Result:
    """Return ``failure-free-survival``: to salvage therapy, metastasis or death of the cancer.

    Another death ends the time as censored: on its day, unless that is later than the last contact
    by more than the death gap. Else it is censored at the last contact.
    """
    if course.events.at_baseline:
        return _at_baseline(FAILURE_FREE_SURVIVAL, course)
    therapies = course.therapies
    if not course.protocol.survival.repeat_is_failure:
        therapies = _without_repeats(therapies)
    events = course.events.of(EventKind.METASTASIS).and_also(therapies)
    death, censored = course.death, _last_contact(course)
    fatal = death if death is not None and death.of_prostate_cancer else None
    ending = None
    if death is not None and fatal is None and _within_gap(course, death, censored):
        ending = _on_death(death)
    lacks = course.lacking.conditions or course.lacking.medications
    return _Time(
        FAILURE_FREE_SURVIVAL,
        course,
        events.known,
        events.possible,
        censored,
        death=fatal,
        ending=ending,
        unknown=_lacking_type(lacks),
    ).result()


def time_to_salvage_therapy(course: PatientCourse) -> Result:
    """Return ``time-to-salvage-therapy``: else censored on the death or at the last contact."""
    return _Time(
        TIME_TO_SALVAGE_THERAPY,
        course,
        course.therapies.known,
        course.therapies.possible,
        _last_contact(course),
        ending=_on_death(course.death) if course.death is not None else None,
        unknown=_lacking_type(course.lacking.medications),
    ).result()


def overall_survival(course: PatientCourse) -> Result:
    """Return ``overall-survival``: days to death, else censored when last known to be alive."""
    return _Time(OVERALL_SURVIVAL, course, [], [], _last_alive(course), death=course.death).result()


def cancer_specific_survival(course: PatientCourse) -> Result:
    """Return ``cancer-specific-survival``: days to death of prostate cancer.

    A death of another cause ends the time as censored; one of an unknown cause leaves it open.
    """
    death = course.death
    time = _Time(CANCER_SPECIFIC_SURVIVAL, course, [], [], _last_alive(course))
    if death is not None and death.cause is Cause.UNKNOWN:
        return time.absent(Reason.CAUSE_UNKNOWN, death.evidence())
    if death is not None and death.of_prostate_cancer:
        time.death = death
    elif death is not None:
        time.ending = _on_death(death)
    return time.result()


#: The times that a death can end although it is not the event that one asks about.
COMPETING = (
    TIME_TO_FAILURE,
    DISEASE_FREE_SURVIVAL,
    METASTASIS_FREE_SURVIVAL,
    TIME_TO_SALVAGE_THERAPY,
)


def ended_by_death(result: Result, course: PatientCourse) -> bool | None:
    """Return whether a death, and nothing before it, ended one of the ``COMPETING`` times.

    None if the time is not known. A death counts as in disease-free survival: not where it came
    later than the censoring day by more than the death gap.
    """
    if result.value is None:
        return None
    if result.endpoint in (DISEASE_FREE_SURVIVAL, METASTASIS_FREE_SURVIVAL):
        return any(one.role is Role.DEATH for one in result.evidence)
    censored = any(one.part is ComponentKey.EVENT and not one.value for one in result.components)
    if not censored or course.death is None:
        return False
    if result.endpoint is TIME_TO_FAILURE:
        return _within_gap(course, course.death, _last_clear(course))
    return True


def _at_baseline(endpoint: Endpoint, course: PatientCourse) -> Result:
    found = (event.evidence(Role.BASELINE_EVENT) for event in course.events.at_baseline)
    kind, reason = Absent.NOT_APPLICABLE, Reason.METASTATIC_AT_BASELINE
    return absent(endpoint, (course.line.d0, None), kind, reason, found, final=True)


def _last_clear(course: PatientCourse) -> CensoringDay | None:
    """Return the day of the last clear PSA."""
    if not course.psa.clear:
        return None
    last = course.psa.clear[-1]
    return CensoringDay(last.day, (psa_evidence(Role.CLEAR_PSA, last),))


def _last_contact(course: PatientCourse) -> CensoringDay | None:
    """Return the day of the last contact."""
    if course.contact is None:
        return None
    return CensoringDay(course.contact.day, (course.contact.evidence(),))


def _last_alive(course: PatientCourse) -> CensoringDay | None:
    """Return the last day on which the patient is known to be alive.

    It is as-of where the source knows of every death, else the last contact.
    """
    if course.lacking.deaths:
        return _last_contact(course)
    return CensoringDay(course.line.as_of)


def _on_death(death: Death) -> CensoringDay:
    """Return the first day on which a death can have ended a time."""
    return CensoringDay(death.when.first, death.evidence())


def _within_gap(course: PatientCourse, death: Death, censored: CensoringDay | None) -> bool:
    """Return whether a death came so soon after the censoring day that it still counts."""
    day = course.line.d0 if censored is None else censored.day
    return death.when.first <= add_months(day, course.protocol.survival.death_gap_months)


def _death_within_gap(course: PatientCourse, censored: CensoringDay | None) -> Death | None:
    death = course.death
    return death if death is not None and _within_gap(course, death, censored) else None


def _without_repeats(therapies: ClinicalEvents) -> ClinicalEvents:
    """Return salvage therapies without repeat cryoablations."""

    def others(events: list[Event]) -> list[Event]:
        return [event for event in events if not event.repeat]

    return ClinicalEvents(
        others(therapies.precise), others(therapies.intervals), others(therapies.possible), []
    )


def _doubtful_therapy(course: PatientCourse) -> tuple[Reason, tuple[Evidence, ...]] | None:
    """Return why possible salvage therapy leaves a censored time open; None if there is none."""
    therapies = course.doubtful_therapies
    if not therapies:
        return None
    return first_reason(therapies), tuple(one.evidence(Role.VAGUE_EVENT) for one in therapies)


def _lacking_type(lacks: bool) -> tuple[Reason, tuple[Evidence, ...]] | None:
    """Return that a source lacks the resources that would state an event, where it does."""
    return (Reason.SOURCE_LACKS_TYPE, ()) if lacks else None
