"""Baseline characteristics, with values worked out by hand from the definitions."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from fhircryo.calendar import Span, month_span, year_span
from fhircryo.endpoints.baseline import (
    BaselineCharacteristics,
    Missing,
    baseline_characteristics,
)
from fhircryo.endpoints.patient_course import patient_course
from fhircryo.mapping.load import load_protocol
from fhircryo.record.items import (
    Characteristic,
    CharacteristicKind,
    Lacking,
    PatientFacts,
    PatientRecord,
    PsaResult,
    Reason,
    Therapy,
    TherapyKind,
    Treatment,
)

D0 = date(2016, 1, 10)
NOTHING_LACKING = Lacking()


def day(text: str) -> Span:
    one = date.fromisoformat(text)
    return Span(one, one)


def item(kind: type, ref: str, /, **fields: Any) -> Any:
    return kind(ref=ref, patient="p", code="", **fields)


def psa(text: str, number: str, **fields: Any) -> PsaResult:
    comparator = number.rstrip("0123456789.")
    made: PsaResult = item(
        PsaResult,
        f"Observation/{text}",
        when=day(text),
        value=Decimal(number.removeprefix(comparator)),
        comparator=comparator,
        **{"rank": 1, **fields},
    )
    return made


def hormone(when: str | None, **fields: Any) -> Therapy:
    made: Therapy = item(
        Therapy,
        f"MedicationRequest/{when}",
        when=None if when is None else day(when),
        kind=TherapyKind.HORMONE,
        **fields,
    )
    return made


def radiation(name: str, when: Span | None, modality: str, **fields: Any) -> Therapy:
    made: Therapy = item(Therapy, f"Procedure/{name}", when=when, modality=modality, **fields)
    return made


def found(*items: Any, lacking: Lacking = NOTHING_LACKING) -> BaselineCharacteristics:
    """The baseline characteristics of a patient with these items and an index on D0."""
    record = PatientRecord("p")
    index = item(Treatment, "Procedure/index", when=Span(D0, D0), completed=True, successful=True)
    for one in (index, *items):
        if isinstance(one, PatientFacts):
            record.facts = one
        else:
            record.add(one)
    course = patient_course(record, load_protocol("bomers-2020"), date(2020, 1, 1), lacking, {})
    assert course is not None
    return baseline_characteristics(course)


def test_nothing_recorded() -> None:
    empty = found()
    for name in BaselineCharacteristics.__struct_fields__:
        value = getattr(empty, name)
        if name == "hormone_therapy_at_index":
            assert value.words == "N"
        else:
            assert (value.value, value.words) == (None, "not-recorded")


@pytest.mark.parametrize(
    ("born", "age", "approximate"),
    [
        (day("1946-01-10"), 70, False),
        (day("1946-01-11"), 69, False),
        # The middle of June 1946 is 06-15; of 1946, a year of 365 days, 07-02.
        (month_span(1946, 6), 69, True),
        (year_span(1946), 69, True),
        # The middle of January 1946 is 01-16, which is after the day of the year of D0.
        (month_span(1946, 1), 69, True),
        (year_span(2017), None, False),
    ],
)
def test_age(born: Span, age: int | None, approximate: bool) -> None:
    value = found(item(PatientFacts, "Patient/p", born=born)).age
    assert (value.value, value.approximate) == (age, approximate)


def test_baseline_psa_retains_its_comparator() -> None:
    value = found(psa("2016-01-05", "<0.1")).psa
    assert (value.words, value.evidence) == ("<0.1", ("Observation/2016-01-05",))


#: 2015-06-01, and 100 and 200 days later.
DAYS = ("2015-06-01", "2015-09-09", "2015-12-18")


@pytest.mark.parametrize(
    ("values", "months"),
    [
        # Doubles in exactly 100 days: 100 / 30.4375.
        (("1", "2", "4"), "3.29"),
        # ln(PSA) is 0, ln 2, ln 2, so the slope is ln 2 / 200 per day: 200 / 30.4375.
        (("1", "2", "2"), "6.57"),
    ],
)
def test_doubling_time(values: tuple[str, ...], months: str) -> None:
    results = [psa(on, value) for on, value in zip(DAYS, values, strict=True)]
    value = found(*results).psa_doubling_time
    assert value.value == Decimal(months)
    assert value.evidence == tuple(result.ref for result in results)
    assert value.when == Span(date(2015, 6, 1), date(2015, 12, 18))


@pytest.mark.parametrize("values", [("4", "2", "1"), ("3", "3", "3"), ("0.3", "7.1", "0.3")])
def test_psa_that_does_not_rise_has_no_doubling_time(values: tuple[str, ...]) -> None:
    value = found(*map(psa, DAYS, values)).psa_doubling_time
    assert (value.value, value.missing) == (None, Missing.NOT_RISING)


def test_doubling_time_needs_three_numbers_over_ninety_days() -> None:
    def months(*results: PsaResult) -> str:
        return found(*results).psa_doubling_time.words

    ends = [psa("2015-10-12", "1"), psa("2016-01-10", "2")]
    assert months(*ends) == "not-recorded"
    # The first and the last are 90 days apart; the third is in the middle: 90 / 30.4375.
    assert months(*ends, psa("2015-11-26", "1.5")) != "not-recorded"
    assert months(psa("2015-10-13", "1"), ends[1], psa("2015-11-26", "1.5")) == "not-recorded"
    # A limit, a zero and what cannot be used are no numbers.
    for other in (
        psa("2015-11-26", "<1.5"),
        psa("2015-11-26", "0"),
        psa("2015-11-26", "1.5", problem=Reason.UNIT),
    ):
        assert months(*ends, other) == "not-recorded"
    # The window begins 365 days before D0.
    assert months(*ends, psa("2015-01-10", "1")) != "not-recorded"
    assert months(*ends, psa("2015-01-09", "1")) == "not-recorded"


def test_one_result_of_a_moment_counts_for_the_doubling_time() -> None:
    results = [psa(on, value) for on, value in zip(DAYS, ("1", "9", "4"), strict=True)]
    corrected = item(
        PsaResult,
        "Observation/corrected",
        when=day(DAYS[1]),
        value=Decimal(2),
        comparator="",
        rank=0,
    )
    assert found(*results, corrected).psa_doubling_time.value == Decimal("3.29")


@pytest.mark.parametrize(
    ("therapy", "computed"),
    [
        (hormone("2015-01-09"), True),
        (hormone("2015-01-10"), False),
        (hormone("2016-01-10"), False),
        (hormone("2016-01-11"), True),
        (hormone("2014-01-01", end=day("2015-01-09")), True),
        (hormone("2014-01-01", end=day("2015-01-10")), False),
        (hormone("2014-01-01", ongoing=True), False),
        (hormone(None), False),
        (hormone("2015-06-01", problem=Reason.STATUS), True),
    ],
)
def test_no_doubling_time_under_hormone_therapy(therapy: Therapy, computed: bool) -> None:
    value = found(*map(psa, DAYS, ("1", "2", "4")), therapy).psa_doubling_time
    assert (value.value is not None) is computed


def test_prior_radiotherapy() -> None:
    beam = radiation("beam", day("2010-11-01"), "external-beam", end=day("2011-01-10"))
    seeds = radiation("seeds", day("2008-03-01"), "brachytherapy")
    both = found(beam, seeds)
    assert both.prior_radiotherapy.value == "brachytherapy, external-beam"
    assert both.prior_radiotherapy.evidence == ("Procedure/seeds", "Procedure/beam")
    # 2011-01-10 to 2016-01-10 are 1826 days; 1826 / 365.25 = 4.999.
    assert both.radiotherapy_interval.value == Decimal("5.00")
    assert both.radiotherapy_interval.when == day("2011-01-10")
    unspecified = radiation("other", day("2008-03-01"), "unspecified")
    assert found(unspecified).prior_radiotherapy.value == "unspecified"
    assert found(beam, unspecified).prior_radiotherapy.value == "external-beam"


@pytest.mark.parametrize(
    ("when", "end", "prior"),
    [
        (day("2016-01-09"), None, True),
        (day("2016-01-10"), None, False),
        (day("2015-12-01"), day("2016-01-10"), False),
        (year_span(2015), None, True),
        (year_span(2016), None, False),
        (None, None, False),
    ],
)
def test_radiotherapy_is_prior_if_it_ended_before_the_index(
    when: Span | None, end: Span | None, prior: bool
) -> None:
    value = found(radiation("r", when, "external-beam", end=end)).prior_radiotherapy
    assert (value.value is not None) is prior


def test_the_last_observation_up_to_the_index_counts() -> None:
    def isup(on: str, value: str) -> Characteristic:
        made: Characteristic = item(
            Characteristic,
            f"Observation/{on}",
            kind=CharacteristicKind.ISUP_GRADE_GROUP,
            when=day(on),
            text=value,
        )
        return made

    value = found(isup("2015-01-01", "2"), isup("2016-01-10", "3"), isup("2016-01-11", "4"))
    assert value.isup_grade_group.value == "3"
    assert value.isup_grade_group.evidence == ("Observation/2016-01-10",)
    assert value.gleason_score.missing is Missing.NOT_RECORDED


@pytest.mark.parametrize(
    ("therapies", "expected"),
    [
        ([hormone("2015-10-01")], "Y"),
        # 270 days before D0 is 2015-04-15.
        ([hormone("2015-04-15")], "Y"),
        ([hormone("2015-04-14")], "N"),
        ([hormone("2016-02-01")], "N"),
        # Whether these were given at index is not known.
        ([hormone("2014-01-01", ongoing=True)], "not-recorded"),
        ([hormone(None)], "not-recorded"),
        ([hormone(None, problem=Reason.STATUS)], "N"),
    ],
)
def test_hormone_therapy_at_index(therapies: list[Therapy], expected: str) -> None:
    assert found(*therapies).hormone_therapy_at_index.words == expected


def test_hormone_therapy_at_index_has_evidence() -> None:
    value = found(hormone("2015-10-01"), hormone("2016-02-01")).hormone_therapy_at_index
    assert value.evidence == ("MedicationRequest/2015-10-01",)


def test_a_source_without_medications_does_not_say_that_there_was_no_hormone_therapy() -> None:
    value = found(lacking=Lacking(medications=True)).hormone_therapy_at_index
    assert value.words == "not-recorded"
