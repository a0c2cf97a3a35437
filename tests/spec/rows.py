"""The rows of the tables: cases as of a site, which may also change what they are computed with."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from fhircryo.mapping.load import Mappings, load_mappings, load_protocol
from fhircryo.record.patients import Selection
from fhircryo.runs.in_memory import Outcome, outcome_of, read_resources
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from fhircryo.setup.expectations.case import Case, Lines
from fhircryo.setup.expectations.case_file import CaseFile, read_cases
from fhircryo.setup.expectations.fhir_values import Resource
from fhircryo.setup.expectations.run_cases import CaseRunner, CheckedCase

TABLES = Path(__file__).parent / "tables"
PROTOCOL = Path(__file__).parents[2] / "mappings" / "protocols" / "bomers-2020.yaml"


class Row(Case):
    """A case that may change what it is computed with.

    ``lines``: raw lines, read before everything else. ``exclude``: patients who objected.
    ``protocol``: a shipped one by its name, or what is changed in the default one. ``mappings``: a
    site overlay.
    """

    lines: Lines = ()
    protocol: dict[str, Any] | str = {}
    mappings: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    exclude: Lines = ()

    def in_source(self) -> list[Resource | bytes]:
        return [*(line.encode() for line in self.lines), *super().in_source()]

    def config(self) -> RunConfig:
        """The mappings, protocol, data cut-off date, settings and patients of the row."""
        return RunConfig(
            _laid_over(self.mappings) if self.mappings else _shipped_mappings(),
            load_protocol(_overridden(self.protocol)) if self.protocol else load_protocol(),
            self.cut_off,
            Settings(**self.settings),
            Selection(exclude=frozenset(self.exclude)),
        )

    def check(self) -> CheckedCase:
        """Run the row through the program, and compare."""
        return CaseRunner(self.config(), TABLES).check(self)

    def compute(self) -> Outcome:
        """Run the row through the program."""
        config = self.config()
        return outcome_of(read_resources(self.in_source(), config), config)


def patient(**given: Any) -> Row:
    """A row of which a test looks at something else than its expectations."""
    return Row(**{"id": "a", "say": "b", "expect": {"psa-nadir": "-"}} | given)


@cache
def _shipped_mappings() -> Mappings:
    """The shipped mappings, read once for all rows."""
    return load_mappings()


def _laid_over(overlay: dict[str, Any]) -> Mappings:
    """The shipped mappings with an overlay."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "site.yaml"
        # What is JSON is YAML.
        path.write_text(json.dumps(overlay, default=float), "utf-8")
        return load_mappings([path])


def _overridden(changes: dict[str, Any] | str) -> dict[str, Any] | str:
    """A shipped protocol by its name, or the default one with some of its fields changed."""
    if isinstance(changes, str):
        return changes
    content = yaml.safe_load(PROTOCOL.read_text("utf-8"))
    _merge(content, changes)
    return content


def _merge(content: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            _merge(content[key], value)
        else:
            content[key] = value


class Table:
    """A topic: its heading, what it is about, its rows."""

    def __init__(self, path: Path) -> None:
        content = read_cases(path, CaseFile[Row]).content
        self.name = path.stem
        self.title, self.about, self.rows = content.title, content.about, content.cases


@cache
def tables() -> list[Table]:
    """All tables in the order of their files."""
    found = [Table(path) for path in sorted(TABLES.glob("*.yaml"))]
    ids = [row.id for table in found for row in table.rows]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    assert not twice, f"rows of the same id: {twice}"
    return found


def all_rows() -> list[Row]:
    """The rows of all tables."""
    return [row for table in tables() for row in table.rows]
