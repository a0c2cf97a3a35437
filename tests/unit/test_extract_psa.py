"""PSA results from Observations: codes, components, units, comparators, texts, absurd numbers."""

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhircryo.mapping.load import Mappings, load_mappings
from fhircryo.record.items import Dropped, NotUsed, PsaResult, Reason
from tests.unit.extraction import ABSENT, LOINC, UCUM, codings, extracted
from tests.unit.inputs import HTEST, Resource, lab, psa

PSA = codings((LOINC, "2857-1"))
LAB = "https://lab.example"


def quantity(value: Any = 1, **more: Any) -> Resource:
    found = {"value": value, "system": UCUM, "code": "ng/mL", **more}
    return {key: one for key, one in found.items() if one is not None}


def result(**more: Any) -> Any:
    return extracted(psa("o", "2016-03-01", 1, **more))


def component(value: Any, code: Resource = PSA, **more: Any) -> Resource:
    return {"code": code, "valueQuantity": quantity(value), **more}


def panel(*components: Resource, **more: Any) -> Any:
    own = {"effectiveDateTime": "2016-03-01", "component": list(components), **more}
    return extracted(lab("pn", **own))


@pytest.fixture(name="local")
def _local(tmp_path: Path) -> Mappings:
    """A site whose laboratory has its own code for PSA."""
    overlay = tmp_path / "lab.yaml"
    overlay.write_text(
        "concepts:\n  psa:\n    codes:\n"
        f'      - {{system: "{LAB}", code: PSA, unit: ng/mL, verified: t}}\n'
        f'      - system: "{LAB}"\n        code: PSA-R\n        verified: t\n'
        f'        beside: [{{system: "{LOINC}", code: 99999-9}}]\n'
    )
    return load_mappings([overlay])


# ------------------------------------------------------------------ units


@pytest.mark.parametrize(
    ("stated", "value"),
    [
        ({"code": "ng/mL"}, 1),
        ({"code": "ng/mL{total}"}, 1),
        ({"code": "ug/L", "unit": "ng/mL"}, 1),
        ({"code": "ng/dL", "unit": "ng/dL"}, Decimal("0.01")),
        ({"system": None, "code": "pg/mL", "unit": "something"}, Decimal("0.001")),
        ({"system": None, "code": None, "unit": "ng/mL {serum}"}, 1),
        ({"system": LAB, "code": "X12", "unit": "mg/L"}, 1000),
        ({"system": LAB, "code": "ng/mL", "unit": "what"}, None),
        ({"system": LAB, "code": "ng/mL", "unit": None}, 1),
        # a code that is there and unknown, whatever the text says
        ({"code": "[arb'U]/mL", "unit": "ng/mL"}, None),
        ({"system": None, "code": "NGML", "unit": "ng/mL"}, None),
        # both known, and contradicting
        ({"code": "ng/mL", "unit": "ng/dL"}, None),
        ({"system": LAB, "code": "ng/mL", "unit": "ug/mL"}, None),
        ({"system": None, "code": None, "unit": None}, None),
        ({"code": "{total}"}, None),
    ],
)
def test_the_unit(stated, value):
    found = result(valueQuantity=quantity(**stated))
    assert found.value == value
    assert found.problem == (None if value is not None else Reason.UNIT)


def test_an_unknown_code_is_shown_beside_the_text():
    found = result(valueQuantity=quantity(code="NGML", unit="ng/mL"))
    assert found.recorded == "1 ng/mL [NGML]"


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">="])
def test_a_comparator_is_kept_as_written(sign):
    assert result(valueQuantity=quantity(comparator=sign)).comparator == sign
    found = result(valueQuantity=None, valueString=f"{sign}0,1 ng/mL")
    assert (found.value, found.comparator) == (Decimal("0.1"), sign)


def test_equals_is_no_comparator_and_another_sign_is_no_value():
    found = result(valueQuantity=quantity(comparator="="))
    assert (found.value, found.comparator, found.problem) == (1, "", None)
    assert result(valueQuantity=quantity(comparator="ad")).problem is Reason.VALUE


# ------------------------------------------------------------------ texts


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.4 ng/mL", "0.4"),
        (" 0,4 ng/mL ", "0.4"),
        (".3 ng/mL", "0.3"),
        (",3 ng/mL", "0.3"),
        ("=0.3 ug/L", "0.3"),
        ("0,123 ng/mL", "0.123"),
        ("1,23 ng/mL", "1.23"),
        ("1.234 ng/mL", "1.234"),
        ("5. ng/mL", "5"),
    ],
)
def test_a_result_as_text(text, value):
    found = result(valueQuantity=None, valueString=text)
    assert (found.value, found.problem) == (Decimal(value), None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1,234 ng/mL", Reason.VALUE),
        ("12,345", Reason.VALUE),
        ("0.4-0.6 ng/mL", Reason.VALUE),
        ("1.234.567 ng/mL", Reason.VALUE),
        ("1 2 ng/mL", Reason.VALUE),
        ("-0.5 ng/mL", Reason.VALUE),
        ("not measured", Reason.VALUE),
        ("", Reason.VALUE),
        ("0.4", Reason.UNIT),
        ("0.4 U/mL", Reason.UNIT),
    ],
)
def test_what_is_no_result(text, reason):
    found = result(valueQuantity=None, valueString=text)
    assert (found.value, found.problem) == (None, reason)


@pytest.mark.parametrize(
    "text", [" " * 60_000, "5" + " " * 60_000 + "6", "5" * 60_000 + " x", "<" + " " * 60_000]
)
def test_a_long_text_is_decided_at_once(text):
    begun = time.monotonic()
    assert result(valueQuantity=None, valueString=text).problem is not None
    assert time.monotonic() - begun < 0.5


# ------------------------------------------------------------------ absurd numbers


@pytest.mark.parametrize(
    "number", ["1e28", "1e999999", "1" * 40, "-1e28", "1e-40", "0." + "1" * 60]
)
def test_an_absurd_number_is_no_value(number):
    text = '{"resourceType":"Observation","id":"o","status":"final","subject":{"reference":'
    text += '"Patient/p1"},"effectiveDateTime":"2016-03-01","code":{"coding":[{"system":'
    text += '"http://loinc.org","code":"2857-1"}]},"valueQuantity":{"unit":"ng/mL","value":'
    found = extracted(f"{text}{number}}}}}".encode())
    assert (found.value, found.problem) == (None, Reason.VALUE)
    assert not isinstance(found.measured, int)


# ------------------------------------------------------------------ components


def test_a_component_is_a_result_of_its_observation():
    found = panel(component(9), status="amended", issued="2016-03-02")
    assert isinstance(found, PsaResult)
    assert (found.ref, found.patient, found.value, found.rank) == ("Observation/pn", "p1", 9, 1)
    assert (str(found.when.first), found.issued) == ("2016-03-01", "2016-03-02")


@pytest.mark.parametrize("code", ["12841-3", "19195-7", "53764-7", "97509-4", "789279006"])
def test_the_code_of_the_observation_does_not_matter(code):
    system = LOINC if "-" in code else "http://snomed.info/sct"
    found = panel(component(9), code=codings((system, code)))
    assert (found.code, found.value) == (f"{LOINC}|2857-1", 9)


def test_components_beside_the_psa_are_passed_over():
    found = panel(
        component(12, codings((LOINC, "12841-3"))),
        component(9),
        {"valueString": "no code"},
        component(3, codings((LOINC, "718-7"))),
    )
    assert found.value == 9


@pytest.mark.parametrize(
    ("values", "expected"), [((9, 9), 9), ((9, Decimal("9.0")), 9), ((9, 8), None)]
)
def test_several_results_must_agree(values, expected):
    found = panel(*map(component, map(float, values)))
    assert (found.value, found.problem) == (expected, None if expected else Reason.VALUE)


def test_results_that_differ_are_told():
    assert panel(component(9), component(8)).recorded == "9 ng/mL; 8 ng/mL"


def test_the_own_value_of_a_psa_counts_among_its_components():
    assert result(component=[component(1)]).value == 1
    assert result(component=[component(2)]).problem is Reason.VALUE
    assert result(valueQuantity=None, component=[component(2)]).value == 2
    assert result(component=[{"code": PSA, "dataAbsentReason": {"text": "?"}}]).value == 1


def test_a_component_follows_the_rules_of_an_observation():
    assert panel(component(9), status="preliminary").reason is Reason.STATUS
    assert panel(component(9), effectiveDateTime="2016").reason is Reason.IMPRECISE_DATE
    assert panel(component(9, dataAbsentReason={"text": "?"})).problem is Reason.VALUE
    assert panel(component(9, codings((LOINC, "19195-7")))).reason is Reason.PSA_NOT_CONVERTIBLE
    conflicting = codings((LOINC, "2857-1"), (LOINC, "718-7"))
    assert panel(component(9, conflicting)).reason is Reason.CONFLICTING_CODE
    assert panel(component(9, conflicting), component(8)).value == 8


# ------------------------------------------------------------------ conflicting codes


@pytest.mark.parametrize("other", ["33667-7", "83113-1", "12841-3", "718-7", "19195-7"])
def test_a_loinc_of_something_else_beside_psa_excludes_it(local, other):
    for own in ((LAB, "PSA"), (LOINC, "2857-1")):
        found = extracted(psa("o", "2016-03-01", 1, code=codings(own, (LOINC, other))), local)
        assert isinstance(found, NotUsed)
        assert (found.reason, found.detail) == (Reason.CONFLICTING_CODE, f"{LOINC}|{other}")


def test_what_does_not_contradict_psa(local):
    for code in (
        codings((LAB, "PSA"), (LOINC, "2857-1")),
        codings((LOINC, "35741-8"), (LOINC, "2857-1")),
        codings((LAB, "PSA"), (LAB, "whatever")),
        codings((LAB, "PSA-R"), (LOINC, "99999-9")),
    ):
        assert isinstance(extracted(psa("o", "2016-03-01", 1, code=code), local), PsaResult)


def test_a_code_that_is_never_psa_is_only_counted():
    found = extracted(lab("o", code=codings((LOINC, "10886-0"))))
    assert isinstance(found, Dropped)
    assert (found.reason, found.code) == (Reason.UNMAPPED_CODE, f"{LOINC}|10886-0")


# ------------------------------------------------------------------ absent elements, reasons


def test_an_element_that_holds_only_an_extension_is_absent():
    assert result(dataAbsentReason=ABSENT).value == 1
    assert result(valueQuantity=ABSENT).problem is Reason.VALUE
    assert result(effectiveDateTime=None, effectivePeriod=ABSENT).reason is Reason.NO_USABLE_DATE


def test_the_first_reason_is_told():
    conflict = codings((LOINC, "2857-1"), (LOINC, "718-7"))
    assert result(meta=HTEST, code=conflict).reason is Reason.TEST_DATA
    assert extracted(psa("o", None, 1, None, code=conflict)).reason is Reason.NO_SUBJECT
    assert result(code=conflict, status="cancelled").reason is Reason.CONFLICTING_CODE
