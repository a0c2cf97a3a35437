"""Baseline characteristics: what the record says of a patient up to the index procedure.

Sources: PSA doubling time, PSA Working Group (Arlen et al., J Urol 2008;179(6):2181-5).
"""

from collections.abc import Iterable
from datetime import date
from decimal import Context, Decimal
from enum import StrEnum

import msgspec

from fhircryo.calendar import Span, add_days
from fhircryo.endpoints.moments import by_moment
from fhircryo.endpoints.patient_course import PatientCourse
from fhircryo.endpoints.psa import PsaCourse
from fhircryo.endpoints.timeline import Timeline
from fhircryo.mapping.protocol import DoublingTimeRules
from fhircryo.record.items import (
    Characteristic,
    CharacteristicKind,
    PatientFacts,
    PsaResult,
    Therapy,
    TherapyKind,
)

#: Natural logarithms are taken to this many significant digits.
_LN = Context(prec=40)
#: Sums and products of such logarithms with days are exact.
_EXACT = Context(prec=120)
#: A slope of ln(PSA) per day that is smaller than this is the rounding of the logarithms.
_SMALLEST_SLOPE = Decimal("1e-20")
#: Times in months and years are given to this precision.
_TIME_STEP = Decimal("0.01")
_MONTHS_OF_YEAR = 12
#: The modalities of radiotherapy that are told apart.
MODALITIES = ("brachytherapy", "external-beam")
_UNSPECIFIED = "unspecified"


class Missing(StrEnum):
    """Why a baseline characteristic has no value."""

    NOT_RECORDED = "not-recorded"
    #: Of the PSA doubling time: PSA did not rise.
    NOT_RISING = "not-rising"


class BaselineValue(msgspec.Struct, frozen=True, gc=False):
    """A baseline characteristic: its value, the days that it is dated by, and its evidence.

    ``value``: None if ``missing`` says why. ``comparator``: ``<``, ``<=``, ``>``, ``>=`` where the
    number is only a limit. ``approximate``: it rests on an imprecise date. ``evidence``: the
    resources (``Type/id``) that it rests on.
    """

    value: Decimal | int | str | bool | None = None
    when: Span | None = None
    evidence: tuple[str, ...] = ()
    comparator: str = ""
    approximate: bool = False
    missing: Missing | None = None

    @property
    def words(self) -> str:
        """The value as text; without one, the reason."""
        if self.value is None:
            return str(self.missing or Missing.NOT_RECORDED)
        if isinstance(self.value, bool):
            return "Y" if self.value else "N"
        return f"{self.comparator}{self.value}"


NOT_RECORDED = BaselineValue(missing=Missing.NOT_RECORDED)


class BaselineCharacteristics(msgspec.Struct, frozen=True):
    """The baseline characteristics of a patient.

    ``age``: years. ``psa``: ng/mL. ``psa_doubling_time``: months. ``prior_radiotherapy``: the
    modalities, joined by a comma. ``radiotherapy_interval``: years from the end of the last
    radiotherapy to D0. ``prostate_volume``: mL. The others are as coded, or yes and no.
    """

    age: BaselineValue
    psa: BaselineValue
    psa_doubling_time: BaselineValue
    prior_radiotherapy: BaselineValue
    radiotherapy_interval: BaselineValue
    isup_grade_group: BaselineValue
    gleason_score: BaselineValue
    clinical_t_category: BaselineValue
    prostate_volume: BaselineValue
    hormone_therapy_at_index: BaselineValue


def baseline_characteristics(course: PatientCourse) -> BaselineCharacteristics:
    """The baseline characteristics of a patient."""
    line = course.line
    radiotherapy, interval = _prior_radiotherapy(line)
    return BaselineCharacteristics(
        age=_age(line),
        psa=_baseline_psa(course.psa),
        psa_doubling_time=_doubling_time(line),
        prior_radiotherapy=radiotherapy,
        radiotherapy_interval=interval,
        isup_grade_group=_last(line, CharacteristicKind.ISUP_GRADE_GROUP),
        gleason_score=_last(line, CharacteristicKind.GLEASON_SCORE),
        clinical_t_category=_last(line, CharacteristicKind.CLINICAL_T_CATEGORY),
        prostate_volume=_last(line, CharacteristicKind.PROSTATE_VOLUME),
        hormone_therapy_at_index=_hormone_therapy(course),
    )


def _age(line: Timeline) -> BaselineValue:
    """Age at D0 in whole years; from a birth year or month alone, by the middle of that time."""
    known = _born(line)
    if known is None or known.born is None:
        return NOT_RECORDED
    born = _middle(known.born)
    had_birthday = (line.d0.month, line.d0.day) >= (born.month, born.day)
    return BaselineValue(
        line.d0.year - born.year - (not had_birthday),
        Span(line.d0, line.d0),
        (known.ref,),
        approximate=not known.born.precise,
    )


def birth_year(line: Timeline) -> int | None:
    """The year of birth by which the age counts; None where no age is known."""
    known = _born(line)
    return None if known is None or known.born is None else _middle(known.born).year


def _born(line: Timeline) -> PatientFacts | None:
    """The first record of the patient with a birth that is not after D0."""
    everyone = [line.record.facts, *line.record.former]
    known = next((facts for facts in everyone if facts is not None and facts.born), None)
    if known is None or known.born is None or _middle(known.born) > line.d0:
        return None
    return known


def _middle(when: Span) -> date:
    """The middle of a span of days, rounded down."""
    return add_days(when.first, (when.last - when.first).days // 2)


def _baseline_psa(psa: PsaCourse) -> BaselineValue:
    found = psa.baseline
    if found is None or found.value is None:
        return NOT_RECORDED
    return BaselineValue(found.value, found.when, (found.ref,), comparator=found.comparator)


def _doubling_time(line: Timeline) -> BaselineValue:
    """PSA doubling time before D0, in months."""
    rules = line.protocol.doubling_time
    first = add_days(line.d0, -rules.days_before)
    window = Span(first, line.d0)
    if any(_hormone_in(window, therapy) for therapy in line.record.therapies):
        return NOT_RECORDED
    results = [
        result
        for result, _ in by_moment(line.record.psa)
        if first <= result.when.first <= line.d0 and _is_number(result)
    ]
    if len(results) < rules.minimum_results:
        return NOT_RECORDED
    when = Span(results[0].when.first, results[-1].when.first)
    if (when.last - when.first).days < rules.minimum_days:
        return NOT_RECORDED
    evidence = tuple(result.ref for result in results)
    months = _months_to_double(results, rules)
    if months is None:
        return BaselineValue(None, when, evidence, missing=Missing.NOT_RISING)
    return BaselineValue(months, when, evidence)


def _is_number(result: PsaResult) -> bool:
    usable = result.problem is None and result.value is not None and not result.comparator
    return usable and result.value is not None and result.value > 0


def _hormone_in(window: Span, therapy: Therapy) -> bool:
    """Whether hormone therapy was, or may have been, given in a window."""
    if not _is_hormone(therapy):
        return False
    if therapy.when is None:
        return therapy.end is None or therapy.end.last >= window.first
    last = date.max if therapy.ongoing else therapy.when.last
    if therapy.end is not None:
        last = therapy.end.last
    return therapy.when.first <= window.last and last >= window.first


def _months_to_double(results: list[PsaResult], rules: DoublingTimeRules) -> Decimal | None:
    """Months: ln 2 / slope of the line fitted to ln(PSA) by least squares; None if not rising."""
    start = results[0].when.first
    days = [(result.when.first - start).days for result in results]
    logarithms = [_LN.ln(result.value) for result in results if result.value is not None]
    count, all_days = len(days), sum(days)
    covariance = Decimal(0)
    for day, logarithm in zip(days, logarithms, strict=True):
        weight = count * day - all_days
        covariance = _EXACT.add(covariance, _EXACT.multiply(Decimal(weight), logarithm))
    variance = count * sum(day * day for day in days) - all_days * all_days
    slope = _EXACT.divide(covariance, Decimal(variance))
    if slope < _SMALLEST_SLOPE:
        return None
    doubling_days = _EXACT.divide(_LN.ln(Decimal(2)), slope)
    return _rounded(_EXACT.divide(doubling_days, rules.days_per_month))


def _rounded(time: Decimal) -> Decimal:
    return time.quantize(_TIME_STEP, context=_EXACT)


def _prior_radiotherapy(line: Timeline) -> tuple[BaselineValue, BaselineValue]:
    """The modalities of the radiotherapy that ended before D0, and the years since its end."""
    ended: list[tuple[Span, Therapy]] = []
    for therapy in line.record.therapies:
        end = therapy.end or therapy.when
        if therapy.modality and therapy.problem is None and end and end.last < line.d0:
            ended.append((end, therapy))
    if not ended:
        return NOT_RECORDED, NOT_RECORDED
    ended.sort(key=lambda pair: (pair[0].last, pair[0].first, pair[1].ref))
    evidence = tuple(therapy.ref for _, therapy in ended)
    last_end, last = ended[-1]
    modalities = {therapy.modality for _, therapy in ended}
    named = [modality for modality in MODALITIES if modality in modalities] or [_UNSPECIFIED]
    days = (line.d0 - _middle(last_end)).days
    year = _EXACT.multiply(line.protocol.doubling_time.days_per_month, Decimal(_MONTHS_OF_YEAR))
    years = _rounded(_EXACT.divide(Decimal(days), year))
    approximate = not last_end.precise
    return (
        BaselineValue(", ".join(named), last_end, evidence, approximate=approximate),
        BaselineValue(years, last_end, (last.ref,), approximate=approximate),
    )


def _last(line: Timeline, kind: CharacteristicKind) -> BaselineValue:
    """The last Observation of a characteristic up to D0."""
    found: Iterable[Characteristic] = (
        one for one in line.record.characteristics if one.kind is kind and one.when.last <= line.d0
    )
    last = max(found, key=lambda one: (*one.when.order, one.ref), default=None)
    if last is None:
        return NOT_RECORDED
    return BaselineValue(last.value, last.when, (last.ref,), approximate=not last.when.precise)


def _hormone_therapy(course: PatientCourse) -> BaselineValue:
    """Hormone therapy at index: yes, no, or not recorded where the record leaves it open."""
    line, at_index = course.line, course.hormone.at_index
    if at_index:
        whens = [therapy.when for therapy in at_index if therapy.when is not None]
        last = max(whens, key=lambda when: when.order, default=None)
        return BaselineValue(True, last, tuple(therapy.ref for therapy in at_index))
    possible = any(_may_begin_by(line.d0, therapy) for therapy in line.record.therapies)
    if course.lacking.medications or course.hormone.open or possible:
        return NOT_RECORDED
    return BaselineValue(False)


def _may_begin_by(d0: date, therapy: Therapy) -> bool:
    """Whether it is not known if hormone therapy began by D0."""
    if not _is_hormone(therapy):
        return False
    return therapy.when is None or therapy.when.first <= d0 < therapy.when.last


def _is_hormone(therapy: Therapy) -> bool:
    return therapy.kind is TherapyKind.HORMONE and not therapy.modality and therapy.problem is None
