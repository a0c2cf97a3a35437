"""Rows as Arrow tables, and Arrow tables as data frames that keep their types in a file."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

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
#: pandas has no type for calendar dates; these timestamps are written as dates.
_DATE = pa.timestamp("ms")


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column."""
    if column.type is ColumnType.CATEGORY:
        return pa.dictionary(pa.int16(), pa.string(), ordered=column.ordered)
    return _DATE if column.type is ColumnType.DATE else _PLAIN[column.type]


def to_arrow(table: Table, rows: Sequence[Row]) -> pa.Table:
    """Rows as an Arrow table with the table's columns; a cell that a row lacks is null."""
    arrays = [_array(column, [row.get(column.name) for row in rows]) for column in table.columns]
    fields = [pa.field(column.name, arrow_type(column)) for column in table.columns]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _array(column: Column, values: list[Any]) -> pa.Array:
    if column.type is ColumnType.CATEGORY:
        position = {level: number for number, level in enumerate(column.levels)}
        indices = [None if value is None else position[value] for value in values]
        return pa.DictionaryArray.from_arrays(
            pa.array(indices, pa.int16()), pa.array(column.levels), ordered=column.ordered
        )
    if column.type is ColumnType.DATE:
        return pa.array(values, pa.date32()).cast(_DATE)
    return pa.array(values, _PLAIN[column.type])


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
