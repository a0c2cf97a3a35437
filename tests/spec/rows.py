"""The rows of the tables: read strictly, turned into resources, computed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from fhircryo.mapping.load import Mappings, load_mappings, load_protocol
from fhircryo.record.patients import Selection
from fhircryo.runs.in_memory import Outcome, compute_resources
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings

from .fhir import SHORTHANDS, Resource, TableError

TABLES = Path(__file__).parent / "tables"
PROTOCOL = Path(__file__).parents[2] / "mappings" / "protocols" / "bomers-2020.yaml"
D0 = "2016-01-10"
AS_OF = "2019-12-31"
#: Somebody else in the source: whose resources keep a type from being lacking.
OTHER = "Patient/somebody-else"


#: libyaml's loader is many times faster; PyYAML's wheels have it.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):
    """YAML with dates as text, decimals as written and no key twice."""


_Loader.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
}


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> Decimal:
    return Decimal(loader.construct_scalar(node))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise TableError(f"{key!r} twice{node.start_mark}")
    return {
        key: loader.construct_object(value, deep=True)
        for key, (_, value) in zip(keys, node.value, strict=True)
    }


_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


@dataclass(frozen=True)
class Row:
    """One case: the facts of a patient, an as-of date, and what comes out.

    ``index`` None: the usual index procedure x1 on ``d0``. ``death``: a date, or true for a death
    without one. ``patient``: more elements of the Patient, or false for no Patient resource.
    ``resources``: FHIR as it is; ``lines``: raw lines, read before everything else. ``lacking``:
    types of which the source has nothing else. ``exclude``: patients who objected. ``protocol``:
    a shipped one by its name, or what is changed in the default one. ``mappings``: a site overlay.
    ``characteristics``: the baseline characteristics that come out, by name.
    """

    id: str
    say: str
    d0: str = D0
    as_of: str = AS_OF
    index: list[str] | None = None
    psa: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    progression: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    measures: list[str] = field(default_factory=list)
    death: str | bool | None = None
    adverse_events: list[str] = field(default_factory=list)
    gradings: list[str] = field(default_factory=list)
    responses: list[str] = field(default_factory=list)
    scores: list[str] = field(default_factory=list)
    procedures: list[str] = field(default_factory=list)
    therapies: list[str] = field(default_factory=list)
    patient: dict[str, Any] | bool = True
    resources: list[Resource] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    protocol: dict[str, Any] | str = field(default_factory=dict)
    mappings: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    expect: dict[str, str] = field(default_factory=dict)
    characteristics: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def shorthand(self) -> dict[str, list[str]]:
        """The lines of the row by their key; the usual index procedure included."""
        given = {key: list(getattr(self, key) or []) for key in SHORTHANDS}
        if self.index is None:
            given["index"] = [self.d0]
        return given

    def made(self) -> Iterator[Resource]:
        """The resources that the shorthand stands for."""
        if self.patient is not False:
            more = self.patient if isinstance(self.patient, dict) else {}
            yield {"resourceType": "Patient", "id": "p1"} | self._deceased() | more
        given = self.shorthand()
        for key, lines in given.items():
            shift = len(given["index"]) if key == "procedures" else 0
            for number, line in enumerate(lines, shift):
                yield SHORTHANDS[key](line, number)
        yield from self._others()

    def _deceased(self) -> Resource:
        if self.death is None:
            return {}
        if isinstance(self.death, bool):
            return {"deceasedBoolean": self.death}
        return {"deceasedDateTime": self.death}

    def _others(self) -> Iterator[Resource]:
        subject = {"reference": OTHER}
        if "Condition" not in self.lacking:
            yield {"resourceType": "Condition", "id": "somebody-elses", "subject": subject}
        if "AdverseEvent" not in self.lacking:
            yield {
                "resourceType": "AdverseEvent",
                "id": "somebody-elses",
                "actuality": "actual",
                "subject": subject,
            }
        if "MedicationRequest" not in self.lacking:
            yield {
                "resourceType": "MedicationRequest",
                "id": "somebody-elses",
                "status": "active",
                "intent": "order",
                "medicationCodeableConcept": {"text": "something"},
                "subject": subject,
            }

    def input(self) -> list[Resource | bytes]:
        """All that the source holds, in the order of reading."""
        return [*(line.encode() for line in self.lines), *self.made(), *self.resources]

    def config(self) -> RunConfig:
        """The mappings, protocol, data cut-off date, settings and patients of the row."""
        settings = Settings(**self.settings)
        return RunConfig(
            _laid_over(self.mappings) if self.mappings else _shipped_mappings(),
            load_protocol(_overridden(self.protocol)) if self.protocol else load_protocol(),
            date.fromisoformat(self.as_of),
            settings,
            Selection(exclude=frozenset(self.exclude)),
        )

    def compute(self) -> Outcome:
        """Run the row through the program."""
        config = self.config()
        return compute_resources(
            self.input(),
            as_of=config.as_of,
            protocol=config.protocol,
            mappings=config.mappings,
            settings=config.settings,
            selection=config.selection,
        )


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
    content = yaml.load(PROTOCOL.read_text("utf-8"), _SafeLoader)
    _merge(content, changes)
    return content


def _merge(content: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            _merge(content[key], value)
        else:
            content[key] = value


ROWS_FIELDS = set(Row.__dataclass_fields__)


@dataclass(frozen=True)
class Table:
    """A topic: its heading, what it is about, its rows."""

    name: str
    title: str
    about: str
    rows: list[Row]


def _check_types(content: dict[str, Any], where: str) -> None:
    """A year alone is a number in YAML: in a row it has to stand in quotes."""
    for key in ("id", "say", "d0", "as_of"):
        if not isinstance(content.get(key, ""), str):
            raise TableError(f"{where}: {key} is no text")
    if not isinstance(content.get("death", ""), str | bool):
        raise TableError(f"{where}: death is neither a date nor true or false")
    for key in (*SHORTHANDS, "lines", "lacking", "exclude"):
        if any(not isinstance(line, str) for line in content.get(key) or []):
            raise TableError(f"{where}: {key} has a line that is no text")


def read_row(content: dict[str, Any], where: str) -> Row:
    """A row from its YAML; a key that does not exist is an error."""
    unknown = set(content) - ROWS_FIELDS
    if unknown:
        raise TableError(f"{where}: not known: {sorted(unknown)}")
    _check_types(content, where)
    texts = {
        key: {str(name): str(value) for name, value in (content.get(key) or {}).items()}
        for key in ("expect", "characteristics", "reasons")
    }
    row = Row(**(content | texts))
    if not (row.expect or row.characteristics or row.reasons):
        raise TableError(f"{where}: nothing is expected")
    return row


@cache
def tables() -> list[Table]:
    """All tables in the order of their files."""
    found = []
    for path in sorted(TABLES.glob("*.yaml")):
        content = yaml.load(path.read_text("utf-8"), _Loader)
        unknown = set(content) - {"title", "about", "rows"}
        if unknown:
            raise TableError(f"{path.name}: not known: {sorted(unknown)}")
        rows = [read_row(row, f"{path.name}: {row.get('id')}") for row in content["rows"]]
        found.append(Table(path.stem, content["title"], content["about"], rows))
    ids = [row.id for table in found for row in table.rows]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise TableError(f"rows of the same id: {twice}")
    return found


def all_rows() -> list[Row]:
    """The rows of all tables."""
    return [row for table in tables() for row in table.rows]
