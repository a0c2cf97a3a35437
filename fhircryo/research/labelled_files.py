"""Tables as files of Stata (``.dta``) and SPSS (``.sav``): with labels, and dates of the program.

Both are written by ReadStat through ``pyreadstat``. What both programs have in common: a category
is a whole number with labels, beginning with 1 in the order of its levels; yes and no are 1 and 0
with labels; a missing number or date is the program's missing value, a missing text is empty. A
variable's label is its description, as far as it has room.

A name has at most 32 characters in Stata (User's Guide 11.3, Naming conventions; 28 here, because a
set of value labels has the variable's name and a number) and 64 bytes in SPSS. A longer one is cut,
ends with four digits of its SHA-256 so that no two are alike, and stands in full at the beginning
of the label.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fhircryo.errors import TargetError, UsageError
from fhircryo.research.stored_table import StoredTable
from fhircryo.research.table import Column, ColumnType

if TYPE_CHECKING:
    import pandas as pd

STATA, SPSS = "stata", "spss"
#: The ending of each format's files.
ENDINGS = {STATA: "dta", SPSS: "sav"}
_DIGITS = 4
#: Where the date and time of writing stand.
_SPSS_TIME = 92
_STATA_TAG = b"<timestamp>"
_STATA_HEADER = 1024


class _Limits(NamedTuple):
    """The characters of a name, and the bytes of a variable's label."""

    name: int
    label: int


#: Source: Stata, ``help limits`` (labels 80 characters); IBM SPSS Statistics, Variable names (64
#: bytes), Variable labels (255 bytes).
_LIMITS = {STATA: _Limits(28, 80), SPSS: _Limits(64, 255)}


def check_written(formats: tuple[str, ...]) -> None:
    """Raise a UsageError if a format needs a package that is not installed."""
    wanted = [name for name in formats if name in ENDINGS]
    if not wanted:
        return
    if find_spec("pyreadstat") is None:
        raise UsageError(
            f"--format {wanted[0]} needs the package pyreadstat: install fhircryo[readstat]"
        )


def write_labelled(table: StoredTable, kind: str, path: Path) -> None:
    """Write a table as a file of Stata or SPSS; all rows are in memory meanwhile.

    Raises:
        TargetError: the file cannot be written.
    """
    import pandas as pd
    import pyreadstat

    limits, frame = _LIMITS[kind], table.frame()
    columns = table.columns.columns
    names = {column.name: _name(column.name, limits.name) for column in columns}
    data = pd.DataFrame({names[one.name]: _values(frame[one.name], one) for one in columns})
    labels: dict[str, str | None] = {
        names[one.name]: _label(one, names[one.name], limits.label) for one in columns
    }
    value_labels: dict[str, dict[int | float, str]] = {
        names[one.name]: found for one in columns if (found := _value_labels(one))
    }
    about = _shortened(table.columns.words, limits.label)
    write = pyreadstat.write_dta if kind == STATA else pyreadstat.write_sav
    try:
        write(
            data,
            path,
            file_label=about,
            column_labels=labels,
            variable_value_labels=value_labels,
        )
    except pyreadstat.ReadstatError as error:
        # It does not say why; what can go wrong here is that the disk is full.
        raise TargetError(f"{path.name}: cannot be written: {error}; is the disk full?") from error
    _set_time(path, kind)


def _set_time(path: Path, kind: str) -> None:
    """Put a fixed time for that of writing, so that the same tables give the same bytes.

    In SPSS's files it stands at a fixed place of the header (PSPP Developers Guide, "File Header
    Record": creation_date, creation_time); in Stata's behind its tag (``help dta``, 5.1).
    """
    with path.open("r+b") as file:
        if kind == SPSS:
            file.seek(_SPSS_TIME)
            file.write(b"01 Jan 7000:00:00")
            return
        header = file.read(_STATA_HEADER)
        place = header.index(_STATA_TAG) + len(_STATA_TAG)
        # The length of the text, and the text; no text is allowed, but would move what follows.
        file.seek(place + 1)
        file.write(b"01 Jan 1970 00:00"[: header[place]])


def _name(name: str, most: int) -> str:
    if len(name) <= most:
        return name
    digits = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
    return f"{name[: most - _DIGITS - 1]}_{digits}"


def _label(column: Column, name: str, most: int) -> str:
    unit = f" [{column.unit}]" if column.unit else ""
    full = f"{column.words}{unit}"
    return _shortened(full if name == column.name else f"{column.name}: {full}", most)


def _shortened(text: str, most: int) -> str:
    """A text of at most so many bytes, cut between characters."""
    return text.encode()[:most].decode(errors="ignore")


def _value_labels(column: Column) -> dict[int | float, str]:
    if column.type is ColumnType.BOOLEAN:
        return {0: "no", 1: "yes"}
    return dict(enumerate(column.levels, 1))


def _values(series: "pd.Series[Any]", column: Column) -> "pd.Series[Any]":
    """The values as the programs have them."""
    import pandas as pd

    if column.type is ColumnType.TEXT:
        return series.astype(object).where(series.notna(), "")
    if column.type is ColumnType.DATE:
        return series.map(lambda day: day.date(), na_action="ignore").astype(object)
    if column.type is ColumnType.CATEGORY:
        codes = series.cat.codes.astype("Int16") + 1
        return codes.where(codes > 0)
    if column.type is ColumnType.BOOLEAN:
        return series.astype("Int8")
    if column.type is ColumnType.INTEGER:
        return series.astype("Int32")
    return pd.to_numeric(series).astype("float64")
