"""A cohort: its tables, its flow of patients and its numbers."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from fhircryo.research.analysis import ANALYSED, Analysis, analyse
from fhircryo.research.build import Built, build
from fhircryo.research.flow import Flow, flow_of
from fhircryo.research.stored_table import StoredTable
from fhircryo.research.table import Table
from fhircryo.research.table_options import TableOptions
from fhircryo.runs.execution import Execution
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Cohort:
    """A cohort's tables.

    ``stored``: the tables by name. ``flow``: how many patients are in the cohort, and why others
    are not. ``unknown_patients``: the patients who were asked for by id and are not in the source.
    """

    config: RunConfig
    stored: dict[str, StoredTable]
    flow: Flow
    unknown_patients: list[str]

    def __repr__(self) -> str:
        protocol = self.config.protocol
        return (
            f"Cohort({self.flow.cohort} patients, {protocol.id} {protocol.version}, as of"
            f" {self.config.as_of}; tables: {', '.join(self.stored)})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the patients, and the tables with their columns."""
        from markupsafe import Markup

        protocol = self.config.protocol
        rows = Markup("").join(
            Markup("<tr><th>{}</th><td>{}</td><td>{}</td></tr>").format(
                name, table.words, len(table.columns)
            )
            for name, table in self.columns.items()
        )
        head = Markup("<p>{} patients, {} {}, as of {}</p>").format(
            self.flow.cohort, protocol.title, protocol.version, self.config.as_of
        )
        columns = Markup("<tr><th>table</th><th>content</th><th>columns</th></tr>")
        return str(head + Markup("<table>{}{}</table>").format(columns, rows))

    @property
    def columns(self) -> dict[str, Table]:
        """The tables' columns with their descriptions, by table."""
        return {name: table.columns for name, table in self.stored.items()}

    @cached_property
    def arrow(self) -> dict[str, pa.Table]:
        """The tables as Arrow, by name."""
        return {name: table.whole() for name, table in self.stored.items()}

    @cached_property
    def tables(self) -> "dict[str, pd.DataFrame]":
        """The tables as data frames, by name."""
        return {name: table.frame() for name, table in self.stored.items()}

    @cached_property
    def analysis(self) -> Analysis:
        """The numbers of the report."""
        return analyse(self.analysed(), self.config, self.flow)

    def analysed(self) -> "dict[str, pd.DataFrame]":
        """The tables from which the numbers are computed, as data frames, by name."""
        return {name: self.stored[name].frame() for name in ANALYSED}

    def __getitem__(self, name: str) -> "pd.DataFrame":
        """The table of a name.

        Raises:
            KeyError: there is no table of this name.
        """
        return self.tables[name]


def cohort_of(
    read: ReadResult, config: RunConfig, options: TableOptions, how: Execution | None = None
) -> Cohort:
    """The cohort of a source that was read."""
    return cohort_from(build(read, config, options, how or Execution()), config)


def cohort_from(built: Built, config: RunConfig) -> Cohort:
    """The cohort whose tables were built."""
    flow = flow_of(built.read, built.counts)
    unknown: list[str] = []
    if config.selection.include is not None:
        unknown = sorted(config.selection.include - built.read.collected.facts.met)
    return Cohort(config, built.tables, flow, unknown)
