"""Compares the baseline characteristics of the patient with a row of the tables.

A characteristic is its value in words (``70``, ``3.29``, ``not-recorded``) and after it, in any
order, what else is to be checked: the day or the days ``a..b`` that it is dated by, and
``[approximate]`` or ``[exact]``.
"""

import re

from fhircryo.endpoints.baseline import BaselineCharacteristics, BaselineValue
from fhircryo.endpoints.baseline import baseline_characteristics as characteristics
from fhircryo.endpoints.patient_course import patient_course
from fhircryo.runs.in_memory import read_resources

from .rows import Row

_DATE = re.compile(r"\d{4}-\d\d-\d\d(\.\.\d{4}-\d\d-\d\d)?")
_PRECISION = ("[approximate]", "[exact]")


def characteristics_of(row: Row) -> BaselineCharacteristics:
    """The baseline characteristics of patient p1."""
    config = row.config()
    read = read_resources(row.input(), config)
    course = patient_course(
        read.records.records["p1"],
        config.protocol,
        config.as_of,
        read.lacking,
        config.mappings.scales,
    )
    assert course is not None, "no index procedure"
    return characteristics(course)


def compare_characteristics(row: Row) -> tuple[dict[str, str], dict[str, str]]:
    """The expected and the computed characteristics that a row names."""
    found = characteristics_of(row)
    got = {
        name: shown(getattr(found, name.replace("-", "_")), expected)
        for name, expected in row.characteristics.items()
    }
    return row.characteristics, got


def shown(value: BaselineValue, expected: str) -> str:
    """A characteristic in the same detail as the expectation."""
    words = [value.words]
    for word in expected.split():
        if _DATE.fullmatch(word):
            words.append(_days(value))
        elif word in _PRECISION:
            words.append("[approximate]" if value.approximate else "[exact]")
    return " ".join(words)


def _days(value: BaselineValue) -> str:
    """The days by which a characteristic is dated."""
    if value.when is None:
        return "-"
    first, last = value.when.first, value.when.last
    return str(first) if first == last else f"{first}..{last}"
