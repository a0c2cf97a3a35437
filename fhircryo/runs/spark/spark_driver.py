"""Distributes the parts of an input over the tasks of Spark."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from pyspark import RDD
from pyspark.sql import DataFrame, SparkSession

from fhircryo.fhir.input_files import FilePart
from fhircryo.record.ranges import RangeCollector
from fhircryo.runs.spark.inputs import (
    Placed,
    SparkInput,
    parts_of_files,
    parts_of_lines,
    spark_path,
)
from fhircryo.sources.source import M, Progress

if TYPE_CHECKING:
    import pyarrow as pa

#: The number of a row that holds what a task found beside the batches of the ranges.
_FOUND = -1
#: A row: the number of a range and an encoded batch of it, or ``_FOUND`` and what was found.
Row = tuple[int, bytes]
_PATH_AND_START = ("_metadata.file_path AS path", "_metadata.file_block_start AS start")


def stable_hash(text: str) -> int:
    """A hash of 64 bits that is the same in every process and on every machine."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


@dataclass
class SparkStore:
    """Holds batches where Spark has shuffled them; in a task, those that the task has added.

    ``rows``: the rows by number, partitioned so that each number has a partition. ``added``: the
    batches of this process.
    """

    rows: "RDD[Row] | None" = None
    added: dict[int, list[bytes]] = field(default_factory=dict)

    def empty_copy(self) -> "SparkStore":
        """A store that holds nothing yet."""
        return SparkStore()

    def append(self, number: int, encoded: bytes) -> None:
        """Add a batch to a range."""
        self.added.setdefault(number, []).append(encoded)

    def finish(self) -> None:
        """Nothing is left to do: batches are taken when a task ends."""

    def take(self) -> list[Row]:
        """The batches that this process has added."""
        found = [(number, one) for number, batches in self.added.items() for one in batches]
        self.added = {}
        return found

    def read(self, number: int) -> Iterator[bytes]:
        """The batches of a range."""
        if self.rows is not None:
            yield from partition_of(self.rows, number)
        yield from self.added.get(number, ())

    def remove(self) -> None:
        """Let Spark remove what it has shuffled."""
        if self.rows is not None:
            self.rows.unpersist()
        self.rows = None


def partition_of(rows: "RDD[Row]", number: int) -> list[bytes]:
    """The batches of the rows of one number."""
    context = rows.context
    return context.runJob(rows, _payloads, [number % rows.getNumPartitions()])


def _payloads(rows: Iterable[Row]) -> Iterator[bytes]:
    return (bytes(payload) for _, payload in rows)


@dataclass(frozen=True)
class SparkDriver:
    """Has every task read some blocks of the files, and merges what the tasks found."""

    spark: SparkSession
    content: SparkInput
    hash_of: Callable[[str], int] = stable_hash

    def collect(
        self,
        parts: Sequence[FilePart],
        step: Callable[[FilePart, M], None],
        into: M,
        progress: Progress | None = None,
    ) -> None:
        """Run ``step`` on every part, and merge the results of the tasks into ``into``."""
        rows = self._rows([part for part in parts if not part.file.problem], step, into)
        for part in parts:
            if part.file.problem:
                step(part, into)
        if rows is None:
            return
        if isinstance(into, RangeCollector):
            # Each number has a partition of its own; ``_FOUND`` is the last one.
            rows = rows.partitionBy(into.ranges.count + 2, _number)
            store = cast("SparkStore", into.store)
            store.rows = rows
            found = partition_of(rows, _FOUND)
        else:
            found = [bytes(payload) for _, payload in rows.collect()]
        for encoded in found:
            into.merge(encoded)
        if progress is not None:
            progress(len(parts), len(parts))

    def _rows(
        self, parts: Sequence[FilePart], step: Callable[[FilePart, M], None], into: M
    ) -> "RDD[Row] | None":
        """What the tasks give: batches by range, and what each task found."""
        placed = self.content.placed()
        empty = into.empty_copy()
        lines = [part.file.name for part in parts if not _is_whole(part)]
        whole = [part.file.name for part in parts if _is_whole(part)]
        found: DataFrame | None = None
        if lines:
            read = self.spark.read.option("lineSep", "\n").text(self._paths(lines))
            values = read.selectExpr("CAST(value AS BINARY) AS value", *_PATH_AND_START)
            found = _mapped(values, parts_of_lines, placed, step, empty)
        if whole:
            files = self.spark.read.format("binaryFile").load(self._paths(whole))
            more = _mapped(files.select("content", "path"), parts_of_files, placed, step, empty)
            found = more if found is None else found.union(more)
        return None if found is None else found.rdd.map(_row)

    def _paths(self, names: Sequence[str]) -> list[str]:
        return [spark_path(self.content.urls[name]) for name in names]


def _is_whole(part: FilePart) -> bool:
    return part.file.document or bool(part.file.compression)


def _number(key: int) -> int:
    return key


def _row(row: Any) -> Row:
    return row[0], bytes(row[1])


def _mapped(
    frame: DataFrame,
    parts_of: "Callable[[Iterator[pa.RecordBatch], dict[str, Placed]], Iterator[FilePart]]",
    placed: dict[str, Placed],
    step: Callable[[FilePart, M], None],
    empty: M,
) -> DataFrame:
    """The rows that tasks make of a table of lines or files."""
    shared = frame.sparkSession.sparkContext.broadcast((placed, step, empty))

    def work(batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        placed, step, empty = shared.value
        mine = empty.empty_copy()
        rows: list[Row] = []
        anything = False
        for part in parts_of(iter(batches), placed):
            anything = True
            step(part, mine)
            if isinstance(mine, RangeCollector):
                mine.finish()
                yield from _batch(cast("SparkStore", mine.store).take())
        if anything:
            rows.append((_FOUND, mine.encode()))
            if isinstance(mine, RangeCollector):
                rows += cast("SparkStore", mine.store).take()
        yield from _batch(rows)

    return frame.mapInArrow(work, "number int, payload binary")


def _batch(rows: list[Row]) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    if rows:
        numbers, payloads = zip(*rows, strict=True)
        columns = [pa.array(numbers, pa.int32()), pa.array(payloads, pa.binary())]
        yield pa.RecordBatch.from_arrays(columns, names=["number", "payload"])
