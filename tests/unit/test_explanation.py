"""What explain says of one patient: the time line and the reasoning, for each rule."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from fhircryo.calendar import Span
from fhircryo.endpoints.patient_endpoints import PatientEndpoints, compute
from fhircryo.mapping.load import load_mappings, load_protocol
from fhircryo.record.items import (
    AdverseEvent,
    Cause,
    CauseOfDeath,
    Diagnosis,
    EventKind,
    Finding,
    Item,
    Lacking,
    Malignancy,
    PatientFacts,
    PatientRecord,
    PsaResult,
    Therapy,
    TherapyKind,
    Treatment,
)
from fhircryo.setup.explanation_baseline import baseline_explanations
from fhircryo.setup.explanation_timeline import moments
from fhircryo.setup.explanation_words import endpoint_explanation

SCALES = load_mappings().scales
AS_OF = date(2017, 12, 31)


def span(text: str | None) -> Span | None:
    """A day, an interval (``first..last``), or None."""
    if text is None:
        return None
    first, _, last = text.partition("..")
    return Span(date.fromisoformat(first), date.fromisoformat(last or first))


def day(text: str) -> Span:
    found = span(text)
    assert found is not None
    return found


def psa(on: str, value: str, comparator: str = "") -> PsaResult:
    number = Decimal(value)
    return PsaResult(
        ref=f"Observation/{on}",
        patient="p1",
        code="",
        when=day(on),
        rank=0,
        value=number,
        comparator=comparator,
        measured=number,
        unit="ng/mL",
    )


def finding(kind: EventKind, on: str | None, **more: object) -> Finding:
    return Finding(ref="Condition/f", patient="p1", code="f", kinds=(kind,), when=span(on), **more)


def hormone(name: str, on: str | None, **more: object) -> Therapy:
    return Therapy(
        ref=f"MedicationStatement/{name}",
        patient="p1",
        code="drug",
        when=span(on),
        kind=TherapyKind.HORMONE,
        **more,
    )


def died(on: str) -> PatientFacts:
    return PatientFacts(ref="Patient/p1", patient="p1", code="", died=day(on))


def computed(
    items: Iterable[Item] = (), facts: PatientFacts | None = None, **rules: object
) -> PatientEndpoints:
    index = Treatment(
        ref="Procedure/x",
        patient="p1",
        code="",
        when=day("2016-01-10"),
        completed=True,
        successful=True,
        sessions=("Procedure/session",),
    )
    record = PatientRecord("p1", facts=facts, treatments=[index])
    for item in items:
        record.add(item)
    protocol = load_protocol().model_copy(update=rules)
    found = compute(record, protocol, AS_OF, Lacking(), SCALES)
    assert found is not None
    return found


def told(of: PatientEndpoints, endpoint: str) -> str:
    """The value and the reasoning of an endpoint, a line each."""
    (result,) = (one for one in of.results if one.code == endpoint)
    explained = endpoint_explanation(result, of)
    return "\n".join([explained.value, *explained.because])


def time_line(of: PatientEndpoints) -> list[str]:
    return [f"{one.date} {one.what} [{one.resource}]" for one in moments(of)]


def line(of: PatientEndpoints, ref: str) -> str:
    """The line of the time line that rests on a resource."""
    (found,) = (one for one in time_line(of) if f"[{ref}]" in one and "last contact" not in one)
    return found


def test_the_session_of_the_treatment():
    assert "part of Procedure/session" in line(computed(), "Procedure/x")


def test_which_bound_decided_a_failure():
    of = computed([psa("2016-03-01", "1.0", "<"), psa("2016-06-01", "4.0")])
    words = told(of, "biochemical-failure")
    assert words.startswith("Y\nPhoenix: nadir + 2 ng/mL\n4 ng/mL is at or above 3: the nadir was")
    assert "at most 1" in words
    assert "nadir <1 ng/mL (Observation/2016-03-01, 2016-03-01)" in words
    assert "failing-psa 4 ng/mL (Observation/2016-06-01, 2016-06-01)" in words
    nadir = told(of, "psa-nadir")
    assert nadir.startswith("<1 ng/mL")
    assert "nadir <1 ng/mL (Observation/2016-03-01" in nadir


def test_a_failure_of_a_result_without_an_upper_bound():
    of = computed([psa("2016-03-01", "0.3"), psa("2016-06-01", "10", ">")])
    assert "at least 10 ng/mL is at or above 2.3: the nadir was 0.3" in told(
        of, "biochemical-failure"
    )


def test_why_a_result_is_inconclusive():
    of = computed([psa("2016-03-01", "0.1"), psa("2016-06-01", "5", "<")])
    why = "it may be anything from 0 to 5; it fails from 2.1 on and is clear below 2.1"
    assert why in line(of, "Observation/2016-06-01")
    words = told(of, "biochemical-failure")
    assert words.startswith("absent (unknown: inconclusive-psa)")
    assert f"2016-06-01: inconclusive: {why}" in words


def test_an_inconclusive_result_before_the_failure_makes_an_interval():
    results = [psa("2016-03-01", "0.6", "<"), psa("2016-06-01", "2.3"), psa("2016-09-01", "3.0")]
    of = computed(results)
    assert "the failure was between 2016-06-01 and 2016-09-01" in told(of, "biochemical-failure")
    assert told(of, "time-to-biochemical-failure").startswith("143 .. 235 days, event")


def test_a_failure_that_is_not_confirmed():
    rules = load_protocol().biochemical_failure.model_copy(update={"confirm_days": 28})
    results = [psa("2016-03-01", "0.5"), psa("2016-06-01", "2.6")]
    of = computed(results, biochemical_failure=rules)
    assert "neither confirmed nor contradicted" in line(of, "Observation/2016-06-01")
    assert "2016-06-01: fails, neither confirmed" in told(of, "biochemical-failure")


def test_why_an_early_result_is_left_out():
    of = computed([psa("2016-01-12", "155"), psa("2016-03-01", "0.3"), psa("2016-06-01", "0.3")])
    assert line(of, "Observation/2016-01-12") == (
        "2016-01-12 PSA 155 ng/mL: not used: too soon after the index procedure, the series begins"
        " on D0 + 28 days (early-psa) [Observation/2016-01-12]"
    )


def test_a_result_after_salvage_therapy():
    of = computed([psa("2016-03-01", "0.3"), hormone("h", "2016-05-01"), psa("2016-06-01", "0.1")])
    assert "not used: after salvage therapy" in line(of, "Observation/2016-06-01")


def test_whether_psa_fell():
    before = psa("2016-01-05", "4.5")
    rose = computed([before, psa("2016-03-01", "9.0"), psa("2016-12-01", "9.5")])
    assert "PSA never fell below the baseline PSA" in told(rose, "psa-nadir")
    assert "no sign of control" in told(rose, "disease-free-12-months")
    assert "baseline" in line(rose, "Observation/2016-01-05")
    fell = computed([before, psa("2016-03-01", "0.5"), psa("2016-12-01", "0.5")])
    words = told(fell, "psa-nadir")
    assert "psa-response Y: PSA fell below the baseline PSA" in words
    assert "days-to-nadir 51 d" in words


def test_which_primary():
    cancer = Diagnosis(
        ref="Condition/o",
        patient="p1",
        code="C18.7",
        malignancy=Malignancy.OTHER,
        when=span("2012-01-01..2012-12-31"),
    )
    of = computed([finding(EventKind.METASTASIS, "2016-09-01"), cancer])
    assert "another malignancy: C18.7" in line(of, "Condition/o")
    shown = line(of, "Condition/f")
    assert "possible: neither counted nor ruled out (other-primary)" in shown
    assert "it names no primary that the source holds" in shown
    words = told(of, "metastasis")
    assert "may belong to another cancer" in words
    assert "vague-event metastasis, other-primary (Condition/f, 2016-09-01)" in words
    named = computed([finding(EventKind.METASTASIS, "2016-09-01", of_prostate=True), cancer])
    assert "names the prostate cancer as its primary" in line(named, "Condition/f")
    assert told(named, "metastasis").startswith("Y")


def test_what_continues_hormone_therapy():
    of = computed(
        [
            hormone("a", "2015-12-01", end=span("2016-05-31")),
            hormone("b", "2016-08-01"),
            hormone("c", "2017-12-01"),
            psa("2016-03-01", "0.3"),
            psa("2016-06-01", "0.3"),
        ]
    )
    at_index = line(of, "MedicationStatement/a")
    assert (
        "hormone therapy at index; later therapy continues it up to a gap of 270 days" in at_index
    )
    assert "until 2016-05-31" in at_index
    assert "continues the hormone therapy at index" in line(of, "MedicationStatement/b")
    assert "salvage-therapy: drug" in line(of, "MedicationStatement/c")
    assert "hormone-therapy-at-index: it lowers PSA" in told(of, "biochemical-failure")


def test_hormone_therapy_that_may_still_have_been_given():
    of = computed([hormone("a", "2014-01-01", ongoing=True), hormone("b", "2016-08-01")])
    assert "may still have been given at D0" in line(of, "MedicationStatement/a")
    assert "possible: neither counted nor ruled out (no-usable-date)" in line(
        of, "MedicationStatement/b"
    )


def test_last_contact_and_a_late_death():
    of = computed([psa("2016-03-01", "0.3"), psa("2016-06-01", "0.3")], died("2017-11-01"))
    assert "2016-06-01 last contact [Observation/2016-06-01]" in time_line(of)
    for endpoint in ("disease-free-survival", "metastasis-free-survival"):
        words = told(of, endpoint)
        assert words.startswith("143 days, censored")
        assert "the death is no event here: it came more than 12 months after" in words
    assert "last-contact (Observation/2016-06-01, 2016-06-01)" in told(
        of, "metastasis-free-survival"
    )
    assert told(of, "overall-survival").startswith("661 days, event")


def test_the_cause_of_death():
    cause = CauseOfDeath(ref="Observation/c", patient="p1", code="", cause=Cause.PROSTATE_CANCER)
    of = computed([cause, psa("2016-03-01", "0.3")], died("2016-09-01"))
    assert "died; cause: prostate cancer (Observation/c)" in line(of, "Patient/p1")
    assert "cause-of-death prostate-cancer (Observation/c)" in told(of, "cancer-specific-survival")
    unknown = computed([psa("2016-03-01", "0.3")], died("2016-09-01"))
    assert "cause: unknown" in line(unknown, "Patient/p1")
    assert "the cause of death is not known" in told(unknown, "cancer-specific-survival")


def test_a_death_known_only_by_an_interval():
    of = computed([psa("2016-03-01", "0.3")], died("2016-01-01..2016-12-31"))
    assert line(of, "Patient/p1").startswith("2016-03-01..2016-12-31 died, on one of these days")


def test_an_event_that_was_recorded_after_the_death():
    of = computed([finding(EventKind.METASTASIS, "2016-10-01")], died("2016-09-01"))
    shown = line(of, "Condition/f")
    assert shown.startswith("2016-09-01 metastasis")
    assert "recorded for 2016-10-01, moved to the day of death" in shown


def test_complications_with_their_kind_and_possible_ones():
    def event(name: str, on: str | None, **more: object) -> AdverseEvent:
        return AdverseEvent(
            ref=f"AdverseEvent/{name}",
            patient="p1",
            code="",
            when=span(on),
            has_suspects=False,
            suspects=(),
            grades=(("clavien-dindo", "II"),),
            **more,
        )

    of = computed([event("a", "2016-02-01", kinds=("fistula",)), event("b", None)])
    assert "complication: clavien-dindo II (fistula)" in line(of, "AdverseEvent/a")
    assert "possible complication (no-usable-date)" in line(of, "AdverseEvent/b")


def test_baseline_characteristics():
    of = computed([psa("2016-01-05", "4.5")])
    found = {one.name: one for one in baseline_explanations(of.course)}
    assert found["baseline PSA"].value == "4.5 ng/mL"
    assert found["baseline PSA"].date == "2016-01-05"
    assert found["baseline PSA"].resources == ["Observation/2016-01-05"]
    assert found["age"].value == "not-recorded"
    assert found["hormone therapy at index"].value == "N"
