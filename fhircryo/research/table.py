"""Tables and columns: what the data package, the dictionary, the files and the docs are made of."""

from collections.abc import Iterable
from enum import StrEnum
from functools import cache

import msgspec

from fhircryo.record.items import Reason

#: The column that holds the patient's pseudonym or id.
PATIENT = "patient"
#: The UCUM unit of days.
DAYS_UNIT = "d"

_REASONS = tuple(str(reason) for reason in Reason)


class ColumnType(StrEnum):
    """The type of a column's values."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    DATE = "date"


class Column(msgspec.Struct, frozen=True):
    """A column.

    ``words``: its description. ``unit``: UCUM. ``levels``: the values that a category can have, in
    order. ``identifying``: only identified tables have it. ``required``: it is never empty.
    ``label``: a short name, as a table of a paper has it; empty where there is none.
    """

    name: str
    type: ColumnType
    words: str
    unit: str = ""
    levels: tuple[str, ...] = ()
    ordered: bool = False
    identifying: bool = False
    required: bool = False
    label: str = ""


class Table(msgspec.Struct, frozen=True):
    """A table; ``key``: the columns that together identify a row."""

    name: str
    words: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    def names(self) -> list[str]:
        """The names of the columns in order."""
        return [column.name for column in self.columns]

    def without_identifying(self) -> "Table":
        """The table without its identifying columns, as a pseudonymised cohort has it."""
        retained = tuple(column for column in self.columns if not column.identifying)
        names = {column.name for column in retained}
        key = tuple(name for name in self.key if name in names)
        return msgspec.structs.replace(self, columns=retained, key=key)

    def without(self, names: Iterable[str]) -> "Table":
        """The table without the named columns."""
        dropped = set(names)
        retained = tuple(column for column in self.columns if column.name not in dropped)
        return msgspec.structs.replace(self, columns=retained)


@cache
def snake(key: str) -> str:
    """A key as the name of a column: hyphens become underscores."""
    return key.replace("-", "_")


def reason_column(name: str, words: str) -> Column:
    """A column of reasons."""
    return Column(name, ColumnType.CATEGORY, words, levels=_REASONS)
