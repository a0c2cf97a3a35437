"""Groups of a cohort: by a column of the table of patients, or of a file of the researcher."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from fhircryo.errors import UsageError
from fhircryo.research.baseline_summary import NAMES
from fhircryo.research.table import PATIENT, ColumnType, Table
from fhircryo.research.table_options import INDEX_YEAR

if TYPE_CHECKING:
    import pandas as pd

#: More groups than this are no comparison.
_MOST_GROUPS = 6
#: A number with more different values is divided at its median.
_MOST_VALUES = 4
_INDEX_DATE = "index_date"


@dataclass(frozen=True)
class By:
    """What divides a cohort: a column, of a CSV file if one is named."""

    column: str
    file: Path | None = None

    @classmethod
    def of(cls, text: str) -> "By":
        """What ``COLUMN`` or ``FILE.csv:COLUMN`` names."""
        file, _, column = text.rpartition(":")
        return cls(column, Path(file)) if file.lower().endswith(".csv") else cls(text)

    @property
    def is_year(self) -> bool:
        """Whether it is the year of the index procedure."""
        return self.file is None and self.column == INDEX_YEAR


class Grouping(msgspec.Struct, frozen=True):
    """The groups of a cohort.

    ``words``: what divides it. ``groups``: their names in order. ``of``: the group of each patient
    in the order of the table, None where it is not known. ``at_median``: it is a number that is
    divided at its median.
    """

    words: str
    groups: tuple[str, ...]
    of: tuple[str | None, ...]
    at_median: bool = False

    @property
    def unknown(self) -> int:
        """The number of patients who are in no group."""
        return self.of.count(None)


def group_patients(
    patients: "pd.DataFrame", columns: Table, by: By, smallest_period: int = 1
) -> Grouping:
    """The groups into which a cohort is divided.

    ``smallest_period``: years with fewer patients are joined with the years beside them.

    Raises:
        UsageError: there is no such column or file, or it makes too many groups.
    """
    if by.file is not None:
        return _of_file(patients, by.file, by.column)
    if by.is_year:
        return _of_years(patients, smallest_period)
    found = next((one for one in columns.columns if one.name == by.column), None)
    if found is None or found.name not in patients or found.name == PATIENT:
        raise UsageError(
            f"--by {by.column}: the table of patients has no such column; dictionary.csv has their"
            " names"
        )
    values, words = patients[found.name], NAMES.get(found.name, found.name)
    if found.type is ColumnType.BOOLEAN:
        named = values.astype(object).map({True: "yes", False: "no"})
        return _grouping(words, named, ["no", "yes"])
    if found.type in (ColumnType.INTEGER, ColumnType.NUMBER):
        return _of_numbers(words, values)
    levels = list(found.levels) or sorted({str(one) for one in values.dropna()})
    return _grouping(words, values.astype(object), levels)


def _of_numbers(words: str, values: "pd.Series[Any]") -> Grouping:
    """The groups of a number: its values if there are few, else below and above the median."""
    known = values.dropna()
    if known.nunique() <= _MOST_VALUES:
        levels = [f"{one:g}" for one in sorted(known.unique())]
        return _grouping(words, values.map(lambda one: f"{one:g}", na_action="ignore"), levels)
    median = float(known.median())
    low, high = f"up to {median:g}", f"above {median:g}"
    divided = values.map(lambda one: low if one <= median else high, na_action="ignore")
    divided_by = f"{words}, divided at the median"
    return replace(_grouping(divided_by, divided, [low, high]), at_median=True)


def _of_years(patients: "pd.DataFrame", smallest: int) -> Grouping:
    """The groups of the years of the index procedure: years, or periods of years.

    Years that follow each other are joined until no period has fewer than ``smallest`` patients,
    and until there are no more than can be compared.
    """
    if INDEX_YEAR in patients:
        years = [int(year) for year in patients[INDEX_YEAR]]
    else:
        years = [day.year for day in patients[_INDEX_DATE]]
    periods = [[year] for year in sorted(set(years))]
    sizes = [years.count(period[0]) for period in periods]
    while len(periods) > 1 and (len(periods) > _MOST_GROUPS or min(sizes) < smallest):
        small = sizes.index(min(sizes))
        beside = [place for place in (small - 1, small + 1) if 0 <= place < len(periods)]
        first = min(small, min(beside, key=sizes.__getitem__))
        periods[first : first + 2] = [periods[first] + periods[first + 1]]
        sizes[first : first + 2] = [sizes[first] + sizes[first + 1]]
    names = _names_of_periods(periods, exact=smallest <= 1)
    name_of = {year: name for period, name in zip(periods, names, strict=True) for year in period}
    of = tuple(name_of[year] for year in years)
    return Grouping("year of the index procedure", tuple(names), of)


def _names_of_periods(periods: list[list[int]], *, exact: bool) -> list[str]:
    """The names of periods; unless exact, without the first and the last year.

    The first year of the cohort may be that of one patient.
    """
    names = []
    for number, period in enumerate(periods):
        first, last = str(period[0]), str(period[-1])
        name = first if first == last else f"{first} to {last}"
        if not exact and number == 0:
            name = f"up to {last}"
        elif not exact and number == len(periods) - 1:
            name = f"{first} and later"
        names.append(name)
    return names


def _of_file(patients: "pd.DataFrame", file: Path, column: str) -> Grouping:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            for name in (PATIENT, column):
                number = list(rows.fieldnames or ()).count(name)
                if number != 1:
                    problem = f"no column {name}" if not number else f"{number} columns {name}"
                    raise UsageError(f"{file}: {problem}; its first line names the columns")
            groups: dict[str, str] = {}
            for row in rows:
                value = (row[column] or "").strip()
                if groups.setdefault(row[PATIENT], value) != value:
                    raise UsageError(f"{file}: {row[PATIENT]} is in two groups")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: cannot be read as CSV: {error}") from error
    named = patients[PATIENT].astype(object).map(lambda one: groups.get(str(one)) or None)
    if not named.notna().any():
        raise UsageError(
            f"{file}: none of its patients is in the cohort; are they pseudonyms of this key?"
        )
    return _grouping(column, named, sorted({str(one) for one in named.dropna()}))


def _grouping(words: str, values: "pd.Series[Any]", levels: list[str]) -> Grouping:
    of = tuple(str(one) if isinstance(one, str) else None for one in values)
    groups = tuple(level for level in levels if level in set(of))
    if len(groups) > _MOST_GROUPS:
        raise UsageError(f"--by {words}: {len(groups)} groups; at most {_MOST_GROUPS} are compared")
    return Grouping(words, groups, of)
