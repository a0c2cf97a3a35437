"""A cohort in memory: its tables, its flow of patients and its numbers."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from fhircryo.research.analysis import Analysis, analyse
from fhircryo.research.arrow import to_frame
from fhircryo.research.build import TableOptions, build
from fhircryo.research.flow import Flow, flow_of
from fhircryo.research.table import Table
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig
from fhircryo.sources.source import Progress

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Cohort:
    """A cohort's tables.

    ``columns``: the tables' columns with their descriptions, by table. ``flow``: how many patients
    are in the cohort, and why others are not. ``unknown_patients``: the patients who were asked for
    by id and are not in the source.
    """

    config: RunConfig
    columns: dict[str, Table]
    arrow: dict[str, pa.Table]
    flow: Flow
    unknown_patients: list[str]

    @cached_property
    def tables(self) -> "dict[str, pd.DataFrame]":
        """The tables as data frames, by name."""
        return {name: to_frame(table) for name, table in self.arrow.items()}

    @cached_property
    def analysis(self) -> Analysis:
        """The numbers of the report."""
        return analyse(self.tables, self.config, self.flow)

    def __getitem__(self, name: str) -> "pd.DataFrame":
        """The table of a name.

        Raises:
            KeyError: there is no table of this name.
        """
        return self.tables[name]


def cohort_of(
    read: ReadResult,
    config: RunConfig,
    options: TableOptions,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Cohort:
    """The cohort of a source that was read."""
    built = build(read, config, options, workers=workers, progress=progress)
    flow = flow_of(read, config, built)
    unknown: list[str] = []
    if config.selection.include is not None:
        unknown = sorted(config.selection.include - read.collected.facts.met)
    return Cohort(config, built.schemas, built.tables, flow, unknown)
