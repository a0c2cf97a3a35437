"""Reads a folder on Spark into ranges of patients, and computes each range in a task."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from fhircryo.record.collector import Facts
from fhircryo.record.items import Lacking
from fhircryo.record.ranges import RangeCollector
from fhircryo.runs.range_results import RangeShare, read_range, rest_of
from fhircryo.runs.read_source import ReadResult, lacking_in, read_opened
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.spark.inputs import SparkInput, spark_input
from fhircryo.runs.spark.spark_driver import Row, SparkDriver, SparkStore
from fhircryo.runs.spark.storage import Storage
from fhircryo.sources.folder_ranges import CollectedRanges, Division, collect_ranges
from fhircryo.sources.folder_source import collect_files, file_limits
from fhircryo.sources.source import Collected, ReadRequest

if TYPE_CHECKING:
    from pyspark import RDD
    from pyspark.sql import SparkSession

#: Bytes of the files whose items are one range, which one task has in memory at a time.
_BYTES_PER_RANGE = 64 << 20
_MOST_RANGES = 10_000

T = TypeVar("T", covariant=True)


class RangeTask(Protocol[T]):
    """What is computed of each range; it is sent to the tasks, so it holds no settings."""

    def compute(self, read: ReadResult, number: int) -> Iterator[T]:
        """Yield what the records of the range ``number`` give."""


@dataclass
class SparkSource:
    """A folder that Spark reads.

    ``name``: as the user gave it.
    """

    name: str
    content: SparkInput
    server: str | None = None

    @classmethod
    def at(cls, name: str, storage: Storage, config: RunConfig) -> "SparkSource":
        """The folder of a path or URL.

        Raises:
            SourceError: it does not exist, or contains no file to read.
        """
        return cls(name, spark_input(storage, file_limits(config.settings.source)))

    @property
    def hashes(self) -> dict[str, str | None]:
        """The hash of each file by name; None, as what Spark reads in pieces is not hashed."""
        return dict.fromkeys((file.name for file in self.content.files), None)

    def collect(self, request: ReadRequest) -> Collected:
        """Read all files into the memory of the driver."""
        return collect_files(self.content, request, request.context())


@dataclass(frozen=True)
class SparkRanges:
    """What was read of a folder, held by Spark by range."""

    spark: "SparkSession"
    name: str
    found: CollectedRanges
    lacking: Lacking

    def map(self, task: RangeTask[T]) -> "RDD[T]":
        """Compute every range in a task of Spark; the ranges are in their order."""
        store = cast("SparkStore", self.found.collector.store)
        rows = cast("RDD[Row]", store.rows)
        work = _Work(self.name, _for_tasks(self.found), self.lacking, store.added, task)
        shared = self.spark.sparkContext.broadcast(work)

        def compute(number: int, batches: Iterable[Row]) -> Iterator[T]:
            return shared.value.compute(number, [bytes(one) for _, one in batches])

        return rows.mapPartitionsWithIndex(compute)

    def rest(self, total: RangeShare) -> ReadResult:
        """What was read without the records, given what all ranges gave."""
        return rest_of(self.name, self.found, total, self.lacking)


def read_on_spark(
    spark: "SparkSession",
    source: SparkSource,
    config: RunConfig,
    ranges: int = 0,
    name: Callable[[str], str] = str,
) -> SparkRanges | None:
    """Read a folder into ranges; None where only reading all of it into memory gives the result.

    ``ranges``: their number; 0: by the size of the files. ``name``: the name of a patient, from the
    id, by which the ranges follow each other.
    """
    size = sum(file.size for file in source.content.files)
    least = spark.sparkContext.defaultParallelism
    count = ranges or min(max(least, size // _BYTES_PER_RANGE), _MOST_RANGES)
    request = config.read_request(SparkDriver(spark, source.content))
    found = collect_ranges(source.content, request, Division(count, SparkStore, name))
    if found is None:
        return None
    return SparkRanges(spark, source.name, found, lacking_in(found.collected, config))


def read_in_memory(spark: "SparkSession", source: SparkSource, config: RunConfig) -> ReadResult:
    """Read a folder by tasks of Spark into the memory of the driver."""
    return read_opened(source, config, driver=SparkDriver(spark, source.content))


def _for_tasks(found: CollectedRanges) -> CollectedRanges:
    """What tasks need of all ranges: neither hashes nor files, of which there are very many."""
    of_all, facts = found.collector, found.collector.facts
    retention = replace(of_all.retention, wanted=frozenset(), watched=frozenset())
    collector = RangeCollector(
        retention, of_all.ranges.without_patients(), SparkStore(), of_all.hash_of
    )
    collector.facts = Facts(events=facts.events, deleted=facts.deleted)
    collected = replace(found.collected, items={}, facts=Facts(), place=str, files=())
    return replace(found, collected=collected, collector=collector)


@dataclass(frozen=True)
class _Work:
    """What every task gets. ``added``: batches that the driver added to ranges."""

    name: str
    found: CollectedRanges
    lacking: Lacking
    added: dict[int, list[bytes]]
    task: RangeTask[Any]

    def compute(self, number: int, batches: list[bytes]) -> Iterator[Any]:
        collector = self.found.collector
        if number < collector.ranges.count:
            collector.store = SparkStore(added={number: batches + self.added.get(number, [])})
            read = read_range(self.name, self.found, number, self.lacking)
            yield from self.task.compute(read, number)
