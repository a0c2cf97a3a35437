"""Every row of the tables through the whole program, and what the tables have to hold."""

import re
from collections import Counter

import pytest

from fhircryo.endpoints.catalogue import CATALOGUE
from fhircryo.record.items import Reason

from .rows import Row, all_rows, tables

ROWS = all_rows()


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_row(row: Row) -> None:
    assert row.check().mismatches == (), row.say


def _reasons_of(row: Row) -> set[str]:
    """The reasons that a row expects, of results and of resources."""
    absent = [re.match(r"absent \S+ (\S+)", words) for words in row.expect.values()]
    found = {match[1] for match in absent if match}
    for name, words in row.reasons.items():
        if len(name.split()) == 3:
            found |= {name.split()[0]} if words != "0" else set()
        else:
            found.add(words.removesuffix(" (used)"))
    return found


def test_every_reason_has_three_rows() -> None:
    count = Counter(reason for row in ROWS for reason in _reasons_of(row))
    few = {str(reason): count[reason] for reason in Reason if count[reason] < 3}
    assert not few


def test_every_endpoint_has_three_rows() -> None:
    named = [
        {key.rpartition("/")[2].split()[0] for key, words in row.expect.items() if words != "-"}
        for row in ROWS
    ]
    for endpoint in CATALOGUE:
        start = re.compile(rf"{re.escape(endpoint.key)}(-.*)?$")
        rows = sum(any(start.match(key) for key in keys) for keys in named)
        assert rows >= 3, endpoint.key


@pytest.mark.parametrize(("topic", "examples"), [("phoenix", 20), ("disease-free", 18)])
def test_worked_examples_are_there(topic: str, examples: int) -> None:
    ids = {row.id for row in ROWS}
    assert {f"{topic}-{number:02}" for number in range(1, examples + 1)} <= ids


def test_every_table_has_rows() -> None:
    assert tables()
    assert all(table.rows and table.about and table.title for table in tables())
