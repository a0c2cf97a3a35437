"""Rows as Arrow tables, and Arrow tables as data frames that keep their types in a file."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa

from fhircryo.research.cells import Row
from fhircryo.research.table import Column, ColumnType, Table

if TYPE_CHECKING:
    import pandas as pd

_PLAIN = {
    ColumnType.TEXT: pa.string(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.NUMBER: pa.float64(),
    ColumnType.BOOLEAN: pa.bool_(),
}
#: The types of the cells before they become a column.
_CELLS = {**_PLAIN, ColumnType.CATEGORY: pa.string(), ColumnType.DATE: pa.date32()}
#: pandas has no type for calendar dates; these timestamps are written as dates.
_DATE = pa.timestamp("ms")


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column."""
    if column.type is ColumnType.CATEGORY:
        return pa.dictionary(pa.int16(), pa.string(), ordered=column.ordered)
    return _DATE if column.type is ColumnType.DATE else _PLAIN[column.type]


def to_arrow(table: Table, rows: Sequence[Row]) -> pa.Table:
    """Rows as an Arrow table with the table's columns; a cell that a row lacks is null."""
    fields = [pa.field(column.name, arrow_type(column)) for column in table.columns]
    cells = pa.struct([(column.name, _CELLS[column.type]) for column in table.columns])
    # All cells at once: a list for each column would take several times as long.
    arrays = pa.array(rows, cells).flatten()
    columns = [_column(*pair) for pair in zip(table.columns, arrays, strict=True)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def conformed(read: pa.Table, table: Table) -> pa.Table:
    """What was read of a file, as the table's columns; one that the file lacks is null.

    Raises:
        ValueError: a cell is not of its column's type, or none of its levels.
    """
    arrays = []
    for column in table.columns:
        kind = _CELLS[column.type]
        if column.name in read.column_names:
            cells = read[column.name].combine_chunks().cast(kind)
        else:
            cells = pa.nulls(len(read), kind)
        if column.required and cells.null_count:
            raise ValueError(f"{column.name}: a cell is empty")
        arrays.append(_column(column, cells))
    fields = [pa.field(column.name, arrow_type(column)) for column in table.columns]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _column(column: Column, cells: pa.Array) -> pa.Array:
    """The cells as the column has them.

    Raises:
        ValueError: a category has a value that is none of its levels.
    """
    if column.type is ColumnType.CATEGORY:
        return _category(column, cells)
    return cells.cast(_DATE) if column.type is ColumnType.DATE else cells


def _category(column: Column, cells: pa.Array) -> pa.Array:
    from pyarrow import compute

    levels = _levels(column.levels)
    if cells.null_count == len(cells):
        positions = pa.nulls(len(cells), pa.int16())
    else:
        positions = compute.index_in(cells, levels).cast(pa.int16())
        if positions.null_count != cells.null_count:
            unknown = cells.filter(compute.and_(positions.is_null(), cells.is_valid()))
            raise ValueError(f"{column.name}: {unknown[0]} is none of its levels")
    return pa.DictionaryArray.from_arrays(positions, levels, ordered=column.ordered)


@cache
def _levels(levels: tuple[str, ...]) -> pa.Array:
    return pa.array(levels, pa.string())


def encode(table: pa.Table) -> bytes:
    """An Arrow table as bytes, to be sent to another process."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def decode(content: bytes) -> pa.Table:
    """The Arrow table of bytes that ``encode`` made."""
    return pa.ipc.open_stream(content).read_all()


def joined(parts: Iterable[pa.Table]) -> pa.Table:
    """One table of several with the same columns, in their order."""
    return pa.concat_tables(parts).combine_chunks()


def to_frame(table: pa.Table) -> "pd.DataFrame":
    """An Arrow table as a data frame with nullable types and ordered categories."""
    import pandas as pd

    types = {
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
        pa.string(): pd.StringDtype(),
    }
    frame: pd.DataFrame = table.to_pandas(types_mapper=types.get)
    return frame
