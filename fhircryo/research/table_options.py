"""What the tables of a cohort hold: which patients, and how they are named."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from msgspec.structs import replace

from fhircryo.research.columns import PATIENTS, tables
from fhircryo.research.table import Column, ColumnType, Table
from fhircryo.runs.run_config import RunConfig

#: The year of the index procedure, of which groups are made; no file has it as a column.
INDEX_YEAR = "index_year"
_YEAR_COLUMN = Column(INDEX_YEAR, ColumnType.INTEGER, "Year of the index procedure")


@dataclass(frozen=True)
class Between:
    """The index dates of the cohort, first and last included; None: no limit."""

    first: date | None = None
    last: date | None = None

    def holds(self, day: date) -> bool:
        """Whether a day is within the limits."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


#: No limit to the index date.
ALL_DATES = Between()


@dataclass(frozen=True)
class TableOptions:
    """What the tables hold: which patients, and how they are named.

    ``name``: the name of a patient in the tables, by id. ``identified``: with dates and resource
    ids. ``between``: the index dates of the cohort. ``with_year``: the table of patients has the
    year of the index procedure until groups are made of it.
    """

    name: Callable[[str], str]
    identified: bool = False
    between: Between = ALL_DATES
    with_year: bool = False

    def schemas(self, config: RunConfig) -> dict[str, Table]:
        """The tables with all columns that they can have."""
        found = tables(config.mappings, config.protocol)
        if not self.identified:
            found = {key: table.without_identifying() for key, table in found.items()}
        if self.with_year:
            patients = found[PATIENTS]
            found[PATIENTS] = replace(patients, columns=(*patients.columns, _YEAR_COLUMN))
        return found
