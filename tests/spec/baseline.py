"""Compares the baseline characteristics of the patient with a row of the tables.

A characteristic is its value in words and, after it, the date where the row gives one.
"""

from fhircryo.calendar import Span
from fhircryo.endpoints.baseline import BaselineCharacteristics, BaselineValue
from fhircryo.runs.in_memory import read_resources

from .rows import Row


def characteristics_of(row: Row) -> BaselineCharacteristics:
    """The baseline characteristics of patient p1."""
    from fhircryo.endpoints.baseline import baseline_characteristics

    config = row.config()
    read = read_resources(row.input(), config)
    computed = config.endpoints(read.records.records["p1"], read.lacking)
    assert computed is not None, "no index procedure"
    return baseline_characteristics(computed.course)


def compare_characteristics(row: Row) -> tuple[dict[str, str], dict[str, str]]:
    """The expected and the computed characteristics that a row names."""
    found = characteristics_of(row)
    got = {
        name: _words(getattr(found, name.replace("-", "_")), expected)
        for name, expected in row.characteristics.items()
    }
    return row.characteristics, got


def _words(value: BaselineValue, expected: str) -> str:
    """A value in words, with its date if a date is expected after it."""
    dated = value.when is not None and _day(value.when) in expected
    return f"{value.words} {_day(value.when)}" if dated and value.when else value.words


def _day(when: Span) -> str:
    return str(when.first) if when.precise else f"{when.first}..{when.last}"
