"""Disease-free at the landmark under each rule for salvage therapy (definitions, example 16)."""

from datetime import date
from decimal import Decimal
from typing import Any

from fhircryo.calendar import Span
from fhircryo.endpoints.by_salvage_rule import disease_free_by_rule
from fhircryo.endpoints.patient_course import patient_course
from fhircryo.mapping.load import load_protocol
from fhircryo.record.items import (
    Lacking,
    PatientRecord,
    PsaResult,
    Reason,
    Therapy,
    TherapyKind,
    Treatment,
)

AS_OF = date(2017, 12, 31)
#: Of the worked example: the hormone therapy is between the last two.
PSA = (("2015-08-01", "1.0", ""), ("2015-10-01", "2.8", ""), ("2016-01-10", "0.1", "<"))


def day(text: str) -> Span:
    one = date.fromisoformat(text)
    return Span(one, one)


def by_rule(rule: str, *, therapy: bool, lacking: Lacking) -> dict[str, bool | Reason | None]:
    """The value or reason under each rule, with another one as the protocol's."""
    common: dict[str, Any] = {"patient": "p", "code": ""}
    record = PatientRecord("p")
    index = day("2015-02-28")
    record.add(Treatment(ref="Procedure/x", when=index, completed=True, successful=True, **common))
    for on, value, sign in PSA:
        record.add(
            PsaResult(
                ref=f"Observation/{on}",
                when=day(on),
                rank=1,
                value=Decimal(value),
                comparator=sign,
                **common,
            )
        )
    if therapy:
        begun = day("2015-10-15")
        record.add(
            Therapy(ref="MedicationRequest/h", when=begun, kind=TherapyKind.HORMONE, **common)
        )
    protocol = load_protocol("bomers-2020").model_copy(update={"salvage_therapy": rule})
    course = patient_course(record, protocol, AS_OF, lacking, {})
    assert course is not None
    return {
        name: result.reason if result.value is None else result.value is True
        for name, result in disease_free_by_rule(course).items()
    }


def test_the_worked_example_under_each_rule() -> None:
    expected = {"event": False, "censor": Reason.INSUFFICIENT_PSA, "report": True}
    for rule in expected:
        assert by_rule(rule, therapy=True, lacking=Lacking()) == expected


def test_without_therapy_the_rules_agree() -> None:
    found = by_rule("event", therapy=False, lacking=Lacking())
    assert found == {"event": True, "censor": True, "report": True}


def test_without_medications_only_the_rule_that_ignores_them_has_a_value() -> None:
    found = by_rule("event", therapy=False, lacking=Lacking(medications=True))
    unknown = Reason.SOURCE_LACKS_TYPE
    assert found == {"event": unknown, "censor": unknown, "report": True}
