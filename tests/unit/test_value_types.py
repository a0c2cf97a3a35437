"""The catalogue and the table of value types: what is fixed, and what a wrong entry is told."""

import pytest

from fhircryo.endpoints.catalogue import CATALOGUE, published_codes
from fhircryo.endpoints.value_types import Detail, ValueForm, ValueType
from fhircryo.research.endpoint_columns import units


def test_units_of_what_is_published():
    """Independent of the catalogue: other systems read these units."""
    found = {one.key: one.value_type.unit for one in CATALOGUE if one.value_type.unit}
    expected = {
        "psa-nadir": "ng/mL",
        "time-to-biochemical-failure": "d",
        "disease-free-survival": "d",
        "metastasis-free-survival": "d",
        "prom-score": "{score}",
        "prom-change": "{score}",
    }
    assert found.items() >= expected.items()


def test_a_unit_of_several_endpoints_is_one_level():
    assert len(units()) == len(set(units()))
    assert units()[:3] == ("ng/mL", "d", "{score}")


def test_codes_are_in_the_order_of_the_catalogue():
    codes = published_codes(["a", "b"])
    assert len(codes) == len(set(codes))
    assert codes[-4:] == ("prom-score-a", "prom-score-b", "prom-change-a", "prom-change-b")
    assert [one.order for one in CATALOGUE] == list(range(len(CATALOGUE)))


@pytest.mark.parametrize(
    ("form", "details", "unit", "whole"),
    [
        (ValueForm.QUANTITY, (Detail.REASON,), "", False),
        (ValueForm.COUNT, (Detail.REASON,), "d", False),
        (ValueForm.QUANTITY, (Detail.EVENT, Detail.REASON), "mo", False),
        (ValueForm.QUANTITY, (Detail.EVENT, Detail.REASON), "d", False),
    ],
)
def test_a_value_type_that_cannot_be_is_refused(form, details, unit, whole):
    with pytest.raises(ValueError, match="value type 'x'"):
        ValueType("x", "x", form, details, unit=unit, whole=whole)
