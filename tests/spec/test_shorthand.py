"""The shorthand makes real FHIR R4 resources, and a slip in a table is an error."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhircryo.errors import UsageError
from fhircryo.setup.expectations.case_file import CaseFile, read_cases
from fhircryo.setup.expectations.fhir_values import moment
from fhircryo.setup.expectations.published_words import ExpectationError, shown
from fhircryo.setup.expectations.shorthand import SHORTHANDS
from fhircryo.setup.expectations.shorthand_line import ShorthandError

from .rows import Row, all_rows, patient


def _made() -> list[tuple[str, dict[str, Any]]]:
    return [(row.id, one) for row in all_rows() for one in row.made()]


def test_resources_are_valid_fhir() -> None:
    wrong = []
    for row, resource in _made():
        if resource["resourceType"] == "AdverseEvent" and "actuality" not in resource:
            continue  # left out on purpose
        text = json.dumps(resource, default=float)
        try:
            get_fhir_model_class(resource["resourceType"]).model_validate_json(text)
        except ValueError as error:
            wrong.append(f"{row}: {text}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("psa", "2016-02-10 0.8 ng/mL corected"),
        ("psa", "2016-02-10 0.8 isued=2016-02-11"),
        ("psa", "2016-02-10"),
        ("psa", "2016-02-10 0,8"),
        ("psa", "2016-02-10T8 0.8"),
        ("conditions", "metastasis onsett=2016"),
        ("conditions", "metastases onset=2016"),
        ("adverse_events", "2016-02-10 clavien=IIIb@nowhere"),
        ("gradings", "2016-02-10 IIIc"),
        ("responses", "2016-02-10 iief-5 1,2,3,4,5,6"),
        ("procedures", "2016-02-10 cpt complete"),
        ("responses", "2016-02-10 iief-6 1,2"),
        ("therapies", "requset 2016-02-10 leuprorelin"),
        ("therapies", "statement 2016-02-10 leuprorelin bounds=..2016-03-10"),
        ("findings", "2016-02-10 distant-metastases"),
        ("causes", "2016-02-10 C61 finale"),
        ("measures", "2016-02-10 gleason integer:7"),
    ],
)
def test_a_slip_in_the_shorthand_is_an_error(key: str, line: str) -> None:
    with pytest.raises(ShorthandError):
        SHORTHANDS[key](line, 0)


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("responses", "2016-02-10 iief-5 one,two"),
        ("measures", "2016-02-10 isup-grade-group integer:two"),
        ("measures", "2016-02-10 isup-grade-group quantity:two"),
        ("psa", "2016-02-10 'str:not closed"),
        ("scores", "2016-02-10 auasi"),
    ],
)
def test_a_line_that_cannot_be_read_is_shown(key: str, line: str) -> None:
    with pytest.raises(ShorthandError, match=f"{key}: .*cannot be read"):
        list(patient(**{key: [line]}).made())


@pytest.mark.parametrize(
    ("key", "line", "instead"),
    [
        ("responses", "2016-02-10 iief-6 1,2", "did you mean iief-5"),
        ("conditions", "metastases onset=2016", "as system|code; did you mean metastasis"),
    ],
)
def test_an_unknown_name_is_told_what_there_is(key: str, line: str, instead: str) -> None:
    with pytest.raises(ShorthandError, match=re.escape(instead)):
        SHORTHANDS[key](line, 0)


@pytest.mark.parametrize(
    "content",
    [
        {"id": "a", "say": "b", "expects": {}},
        {"id": "a", "say": "b"},
        {"id": "a", "say": "b", "death": 2016, "expect": {"psa-nadir": "1"}},
        {"id": "a", "say": "b", "adverse_events": [2016], "expect": {"psa-nadir": "1"}},
        {"id": "a", "say": "b", "psas": [], "expect": {"psa-nadir": "1"}},
    ],
)
def test_a_slip_in_a_row_is_an_error(content: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(json.dumps({"cases": [content]}), "utf-8")
    with pytest.raises(UsageError, match=rf"{path.name}:1: cases\.0"):
        read_cases(path, CaseFile[Row])


def test_a_protocol_field_that_does_not_exist_is_an_error() -> None:
    row = patient(protocol={"psa": {"baseline_day": 3}})
    with pytest.raises(UsageError, match="baseline_day"):
        row.compute()


def test_an_optional_field_of_the_protocol_may_be_set() -> None:
    row = patient(protocol={"biochemical_failure": {"confirm_days": 28}})
    assert row.config().protocol.biochemical_failure.confirm_days == 28
    assert row.config().protocol.biochemical_failure.rise == 2


@pytest.mark.parametrize("words", ["Y finall", "absent unknown", "Y ungradedd=1"])
def test_a_slip_in_an_expectation_is_an_error(words: str) -> None:
    row = patient(expect={"technical-success": words})
    with pytest.raises(ExpectationError):
        shown(row.compute().observations[0], words)


def test_a_reason_that_does_not_exist_is_an_error() -> None:
    row = patient()
    with pytest.raises(ExpectationError, match="did you mean too-few-psa"):
        shown(row.compute().observations[1], "absent unknown too-few")


def test_times_are_completed() -> None:
    assert moment("2016-02-10") == "2016-02-10"
    assert moment("2016-02-10T08:00") == "2016-02-10T08:00:00+01:00"
    assert moment("2016-02-10T08:00Z") == "2016-02-10T08:00:00Z"


def test_a_period_of_a_request_is_its_date_and_bounds() -> None:
    made = SHORTHANDS["therapies"]("request 2015-01-01..2015-06-30 hormone", 0)
    assert made["authoredOn"] == "2015-01-01"
    [dosage] = made["dosageInstruction"]
    assert dosage["timing"]["repeat"]["boundsPeriod"] == {
        "start": "2015-01-01",
        "end": "2015-06-30",
    }


def test_a_result_inside_an_observation_keeps_its_date() -> None:
    made = SHORTHANDS["psa"]("2016-02-10 <0.8 inside=http://loinc.org|53764-7", 0)
    assert made["effectiveDateTime"] == "2016-02-10"
    assert "valueQuantity" not in made
    [component] = made["component"]
    assert component["code"]["coding"][0]["code"] == "2857-1"
    assert component["valueQuantity"]["comparator"] == "<"


def test_every_shorthand_is_a_field_of_a_row() -> None:
    assert set(SHORTHANDS) <= set(Row.model_fields)
