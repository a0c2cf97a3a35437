"""Files that folders of cohorts have in common: described tables, figures, JSON."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhircryo.logs import json_text
from fhircryo.research.folder_options import (
    CSV,
    DICTIONARY,
    FIGURES,
    PACKAGE,
    PARQUET,
    PNG,
    SVG,
)
from fhircryo.research.labelled_files import ENDINGS, write_labelled
from fhircryo.research.package import data_package, dictionary
from fhircryo.research.stored_table import StoredTable
from fhircryo.research.table_files import write_csv, write_parquet, write_parquet_parts

if TYPE_CHECKING:
    from fhircryo.research.report.figure import Figure


def write_tables(
    work: Path,
    tables: Sequence[StoredTable],
    formats: Sequence[str],
    about: tuple[str, str],
    *,
    in_parts: bool = False,
) -> None:
    """Write tables as CSV, Parquet, and for Stata and SPSS; the data package, the dictionary.

    ``about``: the name and the title of the package. ``in_parts``: each Parquet table is a folder
    of files.
    """
    parquet: dict[str, str | list[str]] = {}
    for table in tables:
        name = table.columns.name
        if CSV in formats:
            write_csv(table, work / f"{name}.csv")
        if PARQUET in formats:
            path = work / f"{name}.parquet"
            if in_parts:
                parquet[name] = write_parquet_parts(table, path)
            else:
                parquet[name] = path.name
                write_parquet(table, path)
        for kind, ending in ENDINGS.items():
            if kind in formats:
                write_labelled(table, kind, work / f"{name}.{ending}")
    described = [table.columns for table in tables]
    write_json(work / PACKAGE, data_package(described, *about, frozenset(formats), parquet))
    (work / DICTIONARY).write_text(dictionary(described), encoding="utf-8")


def write_figures(work: Path, figures: Iterable["Figure"], formats: Sequence[str]) -> None:
    """Write figures as SVG, PNG or both, each with its data as CSV."""
    folder = work / FIGURES
    folder.mkdir()
    for figure in figures:
        if SVG in formats:
            (folder / f"{figure.name}.svg").write_bytes(figure.svg)
        if PNG in formats:
            (folder / f"{figure.name}.png").write_bytes(figure.png)
        (folder / f"{figure.name}.csv").write_text(figure.data, encoding="utf-8")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write data as JSON."""
    path.write_text(json_text(content, indent=2) + "\n", encoding="utf-8")
