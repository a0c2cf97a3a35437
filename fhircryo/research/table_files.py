"""Tables as files: Parquet with types, and plain CSV."""

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from fhircryo.research.quoting import cells
from fhircryo.research.table import ColumnType, Table

if TYPE_CHECKING:
    import pandas as pd

#: How booleans are written in CSV: R reads only these words as logical values.
YES, NO = "TRUE", "FALSE"


def write_parquet(frame: "pd.DataFrame", path: Path) -> None:
    """Write a data frame as Parquet, with nullable integers, ordered categories and dates."""
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, compression="zstd")


def write_csv(table: pa.Table, columns: Table, path: Path) -> None:
    """Write a table as CSV: UTF-8, commas, text in quotes, ``TRUE`` and ``FALSE``, ISO dates.

    A missing value is an empty cell without quotes. A text that a spreadsheet would compute has an
    apostrophe before it (``quoting``).
    """
    from pyarrow import compute, csv

    plain = []
    for column in columns.columns:
        values = table[column.name]
        if column.type is ColumnType.CATEGORY:
            values = cells(values.cast(pa.string()))
        elif column.type is ColumnType.TEXT:
            values = cells(values)
        elif column.type is ColumnType.BOOLEAN:
            values = compute.if_else(values, YES, NO)
        elif column.type is ColumnType.DATE:
            values = values.cast(pa.date32())
        plain.append(values)
    csv.write_csv(pa.table(plain, names=columns.names()), path)
