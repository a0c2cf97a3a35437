"""The description of the tables: a Frictionless data package and a data dictionary."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

from fhircryo.research.labelled_files import ENDINGS
from fhircryo.research.quoting import cell
from fhircryo.research.table import PATIENT, Column, ColumnType, Table
from fhircryo.research.table_files import NO, YES

#: https://specs.frictionlessdata.io/table-schema/#types-and-formats
_TYPES = {
    ColumnType.TEXT: "string",
    ColumnType.INTEGER: "integer",
    ColumnType.NUMBER: "number",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.CATEGORY: "string",
    ColumnType.DATE: "date",
}
#: Without its levels, a category is described like a text.
_TYPE_OF = {words: kind for kind, words in _TYPES.items() if kind is not ColumnType.CATEGORY}
#: What a name of a column can be; others come from no table of ours.
_NAME = re.compile("[a-z][a-z0-9_]*")
_PATIENTS = "patients"
_PROFILE = "tabular-data-package"
_RESOURCE = "tabular-data-resource"


def data_package(
    tables: Iterable[Table],
    name: str,
    title: str,
    formats: frozenset[str],
    parquet: Mapping[str, str | list[str]],
) -> dict[str, Any]:
    """The descriptor of a data package; the files are ``NAME.csv``, else those of Parquet, else
    of Stata, else of SPSS.

    ``parquet``: the path of each table's Parquet file, or the paths of its parts, by table.

    Source: https://specs.frictionlessdata.io/data-package/, table-schema, tabular-data-resource.
    """
    resources = [_resource(table, formats, parquet.get(table.name)) for table in tables]
    found: dict[str, Any] = {"name": name, "title": title, "resources": resources}
    return {"profile": _PROFILE} | found if "csv" in formats else found


def _resource(
    table: Table, formats: frozenset[str], parquet: str | list[str] | None
) -> dict[str, Any]:
    found: dict[str, Any] = {"name": table.name, "title": table.words}
    if "csv" in formats:
        found |= {
            "path": f"{table.name}.csv",
            "profile": _RESOURCE,
            "format": "csv",
            "mediatype": "text/csv",
            "encoding": "utf-8",
            "dialect": {"delimiter": ",", "quoteChar": '"', "doubleQuote": True, "header": True},
        }
        if parquet is not None:
            found["parquet"] = parquet
    elif parquet is not None:
        found |= {
            "path": parquet,
            "format": "parquet",
            "mediatype": "application/vnd.apache.parquet",
        }
    else:
        ending = next((ending for kind, ending in ENDINGS.items() if kind in formats), None)
        if ending is not None:
            found |= {"path": f"{table.name}.{ending}", "format": ending}
    schema: dict[str, Any] = {
        "fields": [_field(column) for column in table.columns],
        "missingValues": [""],
        "primaryKey": list(table.key),
    }
    if table.name != _PATIENTS and PATIENT in table.names():
        reference = {"resource": _PATIENTS, "fields": PATIENT}
        schema["foreignKeys"] = [{"fields": PATIENT, "reference": reference}]
    return found | {"schema": schema}


def _field(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": column.name,
        "type": _TYPES[column.type],
        "description": column.words,
    }
    if column.label:
        found["title"] = column.label
    if column.unit:
        found["unit"] = column.unit
    if column.type is ColumnType.BOOLEAN:
        found |= {"trueValues": [YES], "falseValues": [NO]}
    constraints: dict[str, Any] = {}
    if column.required:
        constraints["required"] = True
    if column.levels:
        constraints["enum"] = list(column.levels)
        # Properties of version 2 of the standard; version 1 allows additional properties.
        found |= {"categories": list(column.levels), "categoriesOrdered": column.ordered}
    if constraints:
        found["constraints"] = constraints
    return found


def described_tables(package: Any) -> dict[str, Table]:
    """The tables that a descriptor which ``data_package`` made describes, by name.

    Raises:
        ValueError: it is no such descriptor.
    """
    try:
        tables = [_described(resource) for resource in package["resources"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no description of tables: {error!r}") from error
    return {table.name: table for table in tables}


def _described(resource: Any) -> Table:
    schema = resource["schema"]
    columns = []
    for field in schema["fields"]:
        limits = field.get("constraints", {})
        if not _NAME.fullmatch(field["name"]):
            raise ValueError(f"{field['name']!r} is no name of a column")
        levels = tuple(map(str, limits.get("enum", ())))
        kind = ColumnType.CATEGORY if levels else _TYPE_OF[field["type"]]
        columns.append(
            Column(
                field["name"],
                kind,
                str(field["description"]),
                str(field.get("unit", "")),
                levels,
                ordered=bool(field.get("categoriesOrdered", False)),
                required=bool(limits.get("required", False)),
                label=str(field.get("title", "")),
            )
        )
    key = tuple(map(str, schema["primaryKey"]))
    return Table(str(resource["name"]), str(resource["title"]), tuple(columns), key)


def dictionary(tables: Iterable[Table]) -> str:
    """The data dictionary: the columns of all tables as CSV."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("table", "column", "type", "unit", "values", "description", "label"))
    for table in tables:
        for column in table.columns:
            values = " | ".join(column.levels)
            kind = "ordered category" if column.ordered else str(column.type)
            row = (table.name, column.name, kind, column.unit, values, column.words, column.label)
            rows.writerow([cell(text) for text in row])
    return text.getvalue()
