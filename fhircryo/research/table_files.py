"""Tables as files: Parquet with its types, CSV as plain as it can be."""

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from fhircryo.research.columns import Table, Type

if TYPE_CHECKING:
    import pandas as pd

#: How yes and no are written: R reads nothing else as logical.
YES, NO = "TRUE", "FALSE"


def write_parquet(frame: "pd.DataFrame", path: Path) -> None:
    """Write a data frame with its types: nullable integers, ordered categories, dates."""
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, compression="zstd")


def write_csv(table: pa.Table, columns: Table, path: Path) -> None:
    """Write a table as UTF-8, commas, texts in quotes, ``TRUE`` and ``FALSE``, ISO dates.

    What is missing is empty, without quotes.
    """
    from pyarrow import compute, csv

    plain = []
    for column in columns.columns:
        values = table[column.name]
        if column.type is Type.CATEGORY:
            values = values.cast(pa.string())
        elif column.type is Type.BOOLEAN:
            values = compute.if_else(values, YES, NO)
        elif column.type is Type.DATE:
            values = values.cast(pa.date32())
        plain.append(values)
    csv.write_csv(pa.table(plain, names=columns.names()), path)
