"""Tables as files: Parquet with types, and plain CSV."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from fhircryo.research.arrow import conformed, to_arrow, to_frame
from fhircryo.research.quoting import cells
from fhircryo.research.stored_table import StoredTable
from fhircryo.research.table import ColumnType, Table

#: How booleans are written in CSV: R reads only these words as logical values.
YES, NO = "TRUE", "FALSE"
#: The types of cells that are no text in CSV.
_CSV_TYPES = {
    ColumnType.INTEGER: pa.int64(),
    ColumnType.NUMBER: pa.float64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.DATE: pa.date32(),
}

#: The rows of a group in Parquet, which are written at a time.
_ROWS_PER_GROUP = 50_000


def write_parquet(table: StoredTable, path: Path) -> None:
    """Write a table as Parquet, with nullable integers, ordered categories and dates.

    pandas reads it with the types of the data frame.
    """
    _write_groups(path, _parquet_schema(table.columns), _groups(table.parts()))


def write_parquet_parts(table: StoredTable, folder: Path) -> list[str]:
    """Write a table as several files of Parquet in a new folder; together they are the table.

    Returns:
        The paths of the files, relative to the folder that contains ``folder``, in order.
    """
    folder.mkdir()
    schema = _parquet_schema(table.columns)
    found: list[str] = []
    for group in _groups(table.parts()):
        found.append(f"{folder.name}/part-{len(found):05d}.parquet")
        _write_groups(folder.parent / found[-1], schema, [group])
    if not found:
        found.append(f"{folder.name}/part-00000.parquet")
        _write_groups(folder.parent / found[0], schema, [])
    return found


def _parquet_schema(columns: Table) -> pa.Schema:
    empty = to_frame(to_arrow(columns, []))
    return pa.Schema.from_pandas(empty, preserve_index=False)


def _write_groups(path: Path, schema: pa.Schema, groups: Iterable[pa.Table]) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in groups:
            writer.write_table(group.cast(schema))


def _groups(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows in groups of the same size, whatever the parts are."""
    held: list[pa.Table] = []
    rows = 0
    for part in parts:
        held.append(part)
        rows += len(part)
        while rows > _ROWS_PER_GROUP:
            whole = pa.concat_tables(held)
            yield whole.slice(0, _ROWS_PER_GROUP).combine_chunks()
            held = [whole.slice(_ROWS_PER_GROUP)]
            rows -= _ROWS_PER_GROUP
    if rows:
        yield pa.concat_tables(held).combine_chunks()


def write_csv(table: StoredTable, path: Path) -> None:
    """Write a table as CSV: UTF-8, commas, text in quotes, ``TRUE`` and ``FALSE``, ISO dates.

    A missing value is an empty cell without quotes. A text that a spreadsheet would compute has an
    apostrophe before it (``quoting``).
    """
    from pyarrow import csv

    empty = _plain(to_arrow(table.columns, []), table.columns)
    with csv.CSVWriter(path, empty.schema) as writer:
        for part in table.parts():
            writer.write_table(_plain(part, table.columns))


def read_table(folder: Path, columns: Table) -> pa.Table | None:
    """Read a table's Parquet or CSV, of a folder that was written; None without a file.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is damaged, has other columns, or a cell of another type; or both are
            there and differ, so that one is out of date.
    """
    parquet, text = folder / f"{columns.name}.parquet", folder / f"{columns.name}.csv"
    found = []
    if parquet.exists():
        found.append(_checked(_read_parquet(parquet), columns))
    if text.exists():
        found.append(_checked(_read_csv(text, columns), columns))
    if not found:
        return None
    if not found[0].equals(found[-1]):
        raise ValueError(f"{text.name} and {parquet.name} differ; remove the one out of date")
    return found[0]


def _checked(read: pa.Table, columns: Table) -> pa.Table:
    """What was read of a file, if it has the table's columns."""
    other = sorted(set(read.column_names) ^ set(columns.names()))
    if other or len(read.column_names) != len(columns.columns):
        raise ValueError(f"other columns than datapackage.json says: {', '.join(other)}")
    return conformed(read, columns)


def _read_parquet(path: Path) -> pa.Table:
    """What ``write_parquet`` or ``write_parquet_parts`` wrote."""
    import pyarrow.parquet as pq

    paths = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return pa.concat_tables([pq.ParquetFile(_regular(one)).read() for one in paths])


def _regular(path: Path) -> Path:
    """The path of a regular file; a pipe could be waited for without end."""
    if path.is_file():
        return path
    raise ValueError(f"{path.name} is not a regular file")


def _read_csv(path: Path, columns: Table) -> pa.Table:
    """What ``write_csv`` wrote: an empty cell without quotes is missing."""
    from pyarrow import compute, csv

    types = {column.name: _CSV_TYPES.get(column.type, pa.string()) for column in columns.columns}
    read = csv.read_csv(
        _regular(path),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=[YES],
            false_values=[NO],
        ),
    )
    for number, name in enumerate(read.column_names):
        if types.get(name) == pa.string():
            # The first apostrophe of every cell was added, see ``quoting``.
            texts = compute.replace_substring_regex(read[name], "^'", "")
            read = read.set_column(number, name, texts)
    return read


def _plain(part: pa.Table, columns: Table) -> pa.Table:
    """The cells as they stand in CSV."""
    from pyarrow import compute

    plain = []
    for column in columns.columns:
        values = part[column.name]
        if column.type is ColumnType.CATEGORY:
            values = cells(values.cast(pa.string()))
        elif column.type is ColumnType.TEXT:
            values = cells(values)
        elif column.type is ColumnType.BOOLEAN:
            values = compute.if_else(values, YES, NO)
        elif column.type is ColumnType.DATE:
            values = values.cast(pa.date32())
        plain.append(values)
    return pa.table(plain, names=columns.names())
