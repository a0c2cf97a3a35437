"""Compares the baseline characteristics of the patient with a row of the tables.

A characteristic is its value in words and, after it, the date where the row gives one.
"""

from typing import Any

from fhircryo.runs.in_memory import read_resources

from .rows import Row


def characteristics_of(row: Row) -> Any:
    """The baseline characteristics of patient p1."""
    from fhircryo.endpoints import baseline

    config = row.config()
    record = read_resources(row.input(), config).records.records["p1"]
    return baseline.baseline_characteristics(record, config.protocol, config.as_of)


def compare_characteristics(row: Row) -> tuple[dict[str, str], dict[str, str]]:
    """The expected and the computed characteristics that a row names."""
    found = characteristics_of(row)
    got = {
        name: str(getattr(found, name.replace("-", "_"), "no such characteristic"))
        for name in row.characteristics
    }
    return row.characteristics, got
