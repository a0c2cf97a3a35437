"""Tables whose rows are read in parts, so that not all of them have to be in memory at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from fhircryo.research.arrow import to_arrow, to_frame
from fhircryo.research.table import Table

if TYPE_CHECKING:
    import pandas as pd

_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class StoredTable:
    """A table.

    ``columns``: its columns, some of those that are stored. ``read``: reads its parts in their
    order.
    """

    columns: Table
    read: Callable[[], Iterable[pa.Table]]

    def parts(self, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in parts; ``names``: of the columns, None: all."""
        wanted = self.columns.names() if names is None else names
        for part in self.read():
            yield part.select(wanted)

    def whole(self, names: Sequence[str] | None = None) -> pa.Table:
        """All rows in memory."""
        parts = [part for part in self.parts(names) if len(part)]
        # What is read of a file without rows does not have the levels of categories.
        empty = to_arrow(self.columns, [])
        return pa.concat_tables(parts) if parts else empty.select(names or empty.column_names)

    def frame(self, names: Sequence[str] | None = None) -> "pd.DataFrame":
        """All rows as a data frame."""
        return to_frame(self.whole(names))

    def without(self, names: Iterable[str]) -> "StoredTable":
        """The table without the named columns."""
        return replace(self, columns=self.columns.without(names))


def in_memory(columns: Table, *parts: pa.Table) -> StoredTable:
    """A table whose parts are in memory."""
    return StoredTable(columns, lambda: parts)


def in_files(columns: Table, paths: Sequence[Path]) -> StoredTable:
    """A table whose parts are in files that ``PartWriter`` wrote."""
    return StoredTable(columns, partial(_read_files, paths))


class PartWriter:
    """Writes tables in parts to new files, compressed, for the same program to read.

    ``path_of``: the file of a table, by name.
    """

    def __init__(self, path_of: Callable[[str], Path]) -> None:
        self._path_of = path_of
        self._opened = ExitStack()
        self._writers: dict[str, pa.RecordBatchStreamWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def write(self, name: str, part: pa.Table) -> None:
        """Write the next part of a table."""
        writer = self._writers.get(name)
        if writer is None:
            writer = self._writers[name] = self._opened.enter_context(
                pa.ipc.new_stream(str(self._path_of(name)), part.schema, options=_COMPRESSED)
            )
        writer.write_table(part)


def _read_files(paths: Sequence[Path]) -> Iterator[pa.Table]:
    for path in paths:
        with pa.OSFile(str(path)) as file:
            for batch in pa.ipc.open_stream(file):
                yield pa.Table.from_batches([batch])
