"""Compares the baseline characteristics of the patient with a row of the tables.

A characteristic is its value in words (``65``, ``<0.1``, ``external-beam``, ``not-recorded``), and
after it what else is to be checked: a date, a period ``a..b``, ``approximate`` or ``exact``.
"""

import re

from fhircryo.calendar import Span
from fhircryo.endpoints.baseline import (
    BaselineCharacteristics,
    BaselineValue,
    baseline_characteristics,
)
from fhircryo.runs.in_memory import read_resources

from .fhir import TableError
from .rows import Row

_DATE = re.compile(r"\d{4}-\d\d-\d\d(\.\.\d{4}-\d\d-\d\d)?")
_EXACTNESS = ("approximate", "exact")


def characteristics_of(row: Row) -> BaselineCharacteristics:
    """The baseline characteristics of patient p1."""
    config = row.config()
    read = read_resources(row.input(), config)
    computed = config.endpoints(read.records.records["p1"], read.lacking)
    if computed is None:
        raise TableError(f"{row.id}: no index procedure")
    return baseline_characteristics(computed.course)


def compare_characteristics(row: Row) -> tuple[dict[str, str], dict[str, str]]:
    """The expected and the computed characteristics that a row names."""
    found = characteristics_of(row)
    got = {
        name: shown(getattr(found, name.replace("-", "_")), expected)
        for name, expected in row.characteristics.items()
    }
    return row.characteristics, got


def shown(found: BaselineValue, expected: str) -> str:
    """A characteristic in the same detail as the expectation."""
    words = [found.words]
    for word in expected.split():
        if _DATE.fullmatch(word):
            words.append(_days(found.when))
        elif word in _EXACTNESS:
            words.append(_EXACTNESS[not found.approximate])
    return " ".join(words)


def _days(when: Span | None) -> str:
    """A day, a period, or ``-``."""
    if when is None:
        return "-"
    return str(when.first) if when.precise else f"{when.first}..{when.last}"
