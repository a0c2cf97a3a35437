"""Biochemical failure that a later PSA result has to confirm, beside the one that is computed."""

import json
from decimal import Decimal
from typing import Any

import pytest

from fhircryo.endpoints.by_confirmation import confirmed_failure
from fhircryo.endpoints.failure import biochemical_failure
from fhircryo.endpoints.patient_course import patient_course
from fhircryo.mapping.load import load_protocol
from fhircryo.record.items import Lacking, PatientRecord, PsaResult, Reason, Treatment
from fhircryo.research.failure_rates import failure_rates
from tests.unit.inputs import AS_OF as CUT_OFF
from tests.unit.inputs import COHORT, cli
from tests.unit.test_by_salvage_rule import AS_OF, day
from tests.unit.test_cohort_numbers import CONFIG, Rows, frames


def both(*psa: str, confirm_days: int | None = None) -> list[bool | Reason | None]:
    """Biochemical failure as computed and as confirmed; ``psa``: "date value"."""
    common: dict[str, Any] = {"patient": "p", "code": ""}
    record = PatientRecord("p")
    index = day("2016-01-10")
    record.add(Treatment(ref="Procedure/x", when=index, completed=True, successful=True, **common))
    for one in psa:
        on, value = one.split()
        sign = value[0] if value[0] in "<>" else ""
        record.add(
            PsaResult(
                ref=f"Observation/{on}",
                when=day(on),
                rank=1,
                value=Decimal(value.removeprefix(sign)),
                comparator=sign,
                **common,
            )
        )
    protocol = load_protocol("bomers-2020")
    rules = protocol.biochemical_failure.model_copy(update={"confirm_days": confirm_days})
    protocol = protocol.model_copy(update={"biochemical_failure": rules})
    course = patient_course(record, protocol, AS_OF, Lacking(), {})
    assert course is not None
    results = biochemical_failure(course), confirmed_failure(course)
    return [one.reason if one.value is None else one.value is True for one in results]


@pytest.mark.parametrize(
    ("psa", "expected"),
    [
        (("2016-03-01 0.5", "2016-06-01 2.6", "2016-06-02 2.5"), [True, True]),
        (("2016-03-01 0.5", "2016-06-01 2.6", "2016-09-01 0.6"), [True, False]),
        (("2016-03-01 0.5", "2016-06-01 2.6"), [True, Reason.UNCONFIRMED]),
        # Contradicted, and a later failure is confirmed.
        (("2016-03-01 0.5", "2016-06-01 2.6", "2016-07-01 2", "2016-09-01 3", "2016-10-01 3"),
         [True, True]),
        (("2016-03-01 0.5", "2016-06-01 0.6"), [False, False]),
        (("2016-03-01 0.5",), [Reason.TOO_FEW_PSA, Reason.TOO_FEW_PSA]),
    ],
)  # fmt: skip
def test_the_next_result_confirms(psa, expected):
    assert both(*psa) == expected


def test_a_protocol_that_needs_confirmation_says_how_late():
    psa = ("2016-03-01 0.5", "2016-06-01 2.6", "2016-06-20 2.7", "2016-09-01 0.6")
    assert both(*psa) == [True, True]
    assert both(*psa, confirm_days=28) == [False, False]


def test_the_rates_stand_side_by_side():
    rows: Rows = [
        {"biochemical_failure": True, "biochemical_failure_confirmed": True},
        {"biochemical_failure": True, "biochemical_failure_confirmed_reason": "unconfirmed"},
        {"biochemical_failure": True, "biochemical_failure_confirmed": False},
        {"biochemical_failure": False, "biochemical_failure_confirmed": False},
        {"biochemical_failure_confirmed_reason": "too-few-psa"},
    ]
    found = failure_rates(frames(rows)["patients"], CONFIG.protocol)
    counted = {rate.key: rate.counted for rate in found}
    assert {key: (one.successes, one.n) for key, one in counted.items() if one} == {
        "computed": (3, 4),
        "confirmed": (1, 3),
        "unconfirmed-as-failure": (2, 4),
        "unconfirmed-as-none": (1, 4),
    }


@pytest.mark.slow
def test_the_example_writes_them_and_an_aggregate_does_not(tmp_path):
    shown = {}
    for kind in ((), ("--aggregate-only",)):
        target = tmp_path / f"out{len(kind)}"
        ran = cli("cohort", COHORT, target, "--as-of", CUT_OFF, "--no-report", *kind)
        assert ran.code == 0, ran.err
        rates = json.loads((target / "rates.json").read_text())["rates"]
        found = next(one for one in rates if one["key"] == "biochemical-failure-confirmed")
        shown[kind] = found["successes"], found["n"]
    assert shown == {(): (17, 59), ("--aggregate-only",): (None, None)}
