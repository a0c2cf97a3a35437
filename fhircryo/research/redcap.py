"""The tables as a REDCap project: its data dictionary, and files to import.

There is one record per patient. PSA, events, adverse events and questionnaires are repeating
instruments, which have to be enabled in the project's setup. Source of both formats: REDCap's
Help & FAQ, "Data Dictionary" (columns and their order) and "Data Import Tool"; repeating
instruments are imported with ``redcap_repeat_instrument`` and ``redcap_repeat_instance``. Labels
and notes are HTML, in which brackets and braces refer to other fields. Cells that a spreadsheet
would compute have an apostrophe before them, as in the CSV files.
"""

import csv
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from fhircryo.research.quoting import cell
from fhircryo.research.stored_table import StoredTable
from fhircryo.research.table import PATIENT, Column, ColumnType, Table

RECORD = "record_id"
DICTIONARY = "redcap_data_dictionary.csv"
PATIENTS = "patients"
REPEATING = ("psa", "events", "adverse_events", "questionnaires")

_HEADING = (
    "Variable / Field Name",
    "Form Name",
    "Section Header",
    "Field Type",
    "Field Label",
    "Choices, Calculations, OR Slider Labels",
    "Field Note",
    "Text Validation Type OR Show Slider Number",
    "Text Validation Min",
    "Text Validation Max",
    "Identifier?",
    "Branching Logic (Show field only if...)",
    "Required Field?",
    "Custom Alignment",
    "Question Number (surveys only)",
    "Matrix Group Name",
    "Matrix Ranking?",
    "Field Annotation",
)
_VALIDATION = {
    ColumnType.INTEGER: "integer",
    ColumnType.NUMBER: "number",
    ColumnType.DATE: "date_ymd",
}
#: The status of a form whose data are complete.
_COMPLETE = "2"
#: By table; the name of a field is unique within the whole project.
_PREFIX = {"psa": "psa", "events": "event", "adverse_events": "ae", "questionnaires": "prom"}
_NUMBER = "number"
_ROUND = str.maketrans("[]{}", "()()")
_ROWS_AT_A_TIME = 10_000


def file_of(table: str) -> str:
    """The name of the import file of a table."""
    return f"redcap_{table}.csv"


#: All files that are written.
FILES = frozenset({DICTIONARY, file_of(PATIENTS), *(file_of(name) for name in REPEATING)})


def write_redcap(tables: dict[str, StoredTable], folder: Path) -> None:
    """Write the data dictionary and an import file per table."""
    exported = [tables[name] for name in (PATIENTS, *REPEATING)]
    _write(folder / DICTIONARY, _dictionary([table.columns for table in exported]))
    for table in exported:
        _write(folder / file_of(table.columns.name), _records(table))


def _write(path: Path, rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerows([cell(value) for value in row] for row in rows)


def _name(table: Table, column: Column) -> str:
    prefix = _PREFIX.get(table.name)
    if prefix is None or column.name.startswith(f"{prefix}_"):
        return column.name
    return f"{prefix}_{column.name}"


def _columns(table: Table) -> list[Column]:
    """The columns that become fields: all but the record's id and the row's number."""
    return [column for column in table.columns if column.name not in (PATIENT, _NUMBER)]


def _dictionary(tables: list[Table]) -> Iterator[tuple[str, ...]]:
    yield _HEADING
    yield _line(_Field(RECORD, PATIENTS, "text", "Patient"))
    for table in tables:
        for column in _columns(table):
            yield _line(_field(table, column))


def _field(table: Table, column: Column) -> "_Field":
    kind, choices = "text", ""
    if column.type is ColumnType.BOOLEAN:
        kind = "yesno"
    elif column.type is ColumnType.CATEGORY:
        kind = "dropdown"
        levels = enumerate(map(_choice, column.levels), 1)
        choices = " | ".join(f"{number}, {level}" for number, level in levels)
    return _Field(
        _name(table, column),
        table.name,
        kind,
        _shown(column.words),
        choices,
        note=_shown(column.unit.strip("{}")),
        validation=_VALIDATION.get(column.type, ""),
        identifier=column.identifying,
    )


def _choice(level: str) -> str:
    """The label of a choice, in which a bar would begin the next one."""
    return _shown(level.replace("|", "/"))


def _shown(text: str) -> str:
    """A text that REDCap shows as it is, without markup or a reference to another field."""
    return escape(text, quote=False).translate(_ROUND)


class _Field(NamedTuple):
    """A field of the data dictionary; the columns that it does not name are left empty."""

    name: str
    form: str
    kind: str
    label: str
    choices: str = ""
    note: str = ""
    validation: str = ""
    identifier: bool = False


def _line(field: _Field) -> tuple[str, ...]:
    """The line of a field, in the columns of ``_HEADING``."""
    left = (field.name, field.form, "", field.kind, field.label, field.choices)
    right = (field.note, field.validation, "", "", "y" if field.identifier else "")
    return (*left, *right, *("" for _ in _HEADING[len(left) + len(right) :]))


def _records(stored: StoredTable) -> Iterator[tuple[str, ...]]:
    table = stored.columns
    columns = _columns(table)
    repeats = table.name in REPEATING
    heading = [RECORD]
    if repeats:
        heading += ["redcap_repeat_instrument", "redcap_repeat_instance"]
    yield (*heading, *(_name(table, column) for column in columns), f"{table.name}_complete")
    batches = (batch for part in stored.parts() for batch in part.to_batches(_ROWS_AT_A_TIME))
    for batch in batches:
        for row in batch.to_pylist():
            record = [row[PATIENT]]
            if repeats:
                record += [table.name, str(row[_NUMBER])]
            yield (*record, *(_value(column, row[column.name]) for column in columns), _COMPLETE)


def _value(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if column.type is ColumnType.CATEGORY:
        return str(column.levels.index(value) + 1)
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, float):
        # Without an exponent, whatever the size.
        return f"{Decimal(repr(value)):f}"
    return value.isoformat() if isinstance(value, date) else str(value)
