"""SECURITY.md: every promise names a test, and every test that is named exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
_NAMED = re.compile(r"`(test_\w+\.py)(?:::(test_\w+))?`")
_SECTION = re.compile(r"^## What is promised.*?(?=^## )", re.MULTILINE | re.DOTALL)


def _rows() -> list[tuple[str, str, str]]:
    """The rows of promises: an attack, the promise, and what shows it."""
    section = _SECTION.search(PAGE)
    assert section is not None
    found = []
    for line in section[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells[-1] != "shown by":
            assert len(cells) == 3, line
            found.append((cells[0], cells[1], cells[2].removesuffix(" |")))
    return found


def _tests_in(file: str) -> Iterator[str]:
    """The names of the tests in all files of a name."""
    for path in (ROOT / "tests").rglob(file):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node.name


ROWS = _rows()


def test_there_are_promises():
    assert len(ROWS) > 20


@pytest.mark.parametrize("row", [pytest.param(row, id=row[0][:40]) for row in ROWS])
def test_every_promise_is_shown_by_tests_that_exist(row: tuple[str, str, str]):
    named = _NAMED.findall(row[2])
    assert named
    assert _NAMED.sub("", row[2]).replace(",", "").strip() == ""
    for file, test in named:
        tests = set(_tests_in(file))
        assert tests, f"{file}: no such file of tests"
        assert not test or test in tests, f"{file}: no {test}"


@pytest.mark.parametrize("name", ["test_nothing.py", "test_names.py::test_nothing"])
def test_a_test_that_does_not_exist_is_found(name: str):
    with pytest.raises(AssertionError):
        test_every_promise_is_shown_by_tests_that_exist(("attack", "promise", f"`{name}`"))
