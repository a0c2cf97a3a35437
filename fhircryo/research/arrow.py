"""Rows as Arrow tables, and those as data frames whose types survive being written."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fhircryo.research.columns import Column, Table, Type
from fhircryo.research.patient_row import Row

if TYPE_CHECKING:
    import pandas as pd

_PLAIN = {
    Type.TEXT: pa.string(),
    Type.INTEGER: pa.int64(),
    Type.NUMBER: pa.float64(),
    Type.BOOLEAN: pa.bool_(),
}
#: pandas knows no calendar dates but these; they are written as dates.
_DATE = pa.timestamp("ms")


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column."""
    if column.type is Type.CATEGORY:
        return pa.dictionary(pa.int16(), pa.string(), ordered=column.ordered)
    return _DATE if column.type is Type.DATE else _PLAIN[column.type]


def to_arrow(table: Table, rows: Sequence[Row]) -> pa.Table:
    """Rows as an Arrow table with just the table's columns; what a row lacks is null."""
    arrays = [_array(column, [row.get(column.name) for row in rows]) for column in table.columns]
    fields = [pa.field(column.name, arrow_type(column)) for column in table.columns]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _array(column: Column, values: list[Any]) -> pa.Array:
    if column.type is Type.CATEGORY:
        place = {level: number for number, level in enumerate(column.levels)}
        indices = [None if value is None else place[value] for value in values]
        return pa.DictionaryArray.from_arrays(
            pa.array(indices, pa.int16()), pa.array(column.levels), ordered=column.ordered
        )
    if column.type is Type.DATE:
        return pa.array(values, pa.date32()).cast(_DATE)
    return pa.array(values, _PLAIN[column.type])


def encode(table: pa.Table) -> bytes:
    """An Arrow table, to send it to another process."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def decode(content: bytes) -> pa.Table:
    """What ``encode`` made."""
    return pa.ipc.open_stream(content).read_all()


def joined(parts: Iterable[pa.Table]) -> pa.Table:
    """Tables of the same columns, one after the other."""
    return pa.concat_tables(parts).combine_chunks()


def to_frame(table: pa.Table) -> "pd.DataFrame":
    """An Arrow table as a data frame: nullable types, categories in order."""
    import pandas as pd

    types = {
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
        pa.string(): pd.StringDtype(),
    }
    frame: pd.DataFrame = table.to_pandas(types_mapper=types.get)
    return frame
