"""A run from a folder to a folder on Spark: part files in patient order, and the manifest last."""

import base64
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fhircryo.publish.folder_target import DEVICES, MANIFEST
from fhircryo.record.collector import Facts
from fhircryo.record.items import Lacking
from fhircryo.record.ranges import RangeCollector
from fhircryo.runs.execution import Execution
from fhircryo.runs.publish_patients import PublishContext, folder_outputs, publish_patients
from fhircryo.runs.range_results import RangeShare, read_range, rest_of
from fhircryo.runs.read_source import lacking_in, read_opened
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.slices import SLICED, Written, write_pieces
from fhircryo.runs.spark.inputs import SparkInput, spark_input
from fhircryo.runs.spark.session import words_of_failure
from fhircryo.runs.spark.spark_driver import Row, SparkDriver, SparkStore
from fhircryo.runs.spark.storage import Storage
from fhircryo.runs.spark.target import PART_FOLDER, SparkTarget
from fhircryo.runs.summary import Summary
from fhircryo.runs.to_folder import finish_folder, write_patients
from fhircryo.sources.folder_ranges import CollectedRanges, Division, collect_ranges
from fhircryo.sources.folder_source import collect_files, file_limits
from fhircryo.sources.source import Collected, ReadRequest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: Bytes of the files whose items are one range, which one task has in memory at a time.
_BYTES_PER_RANGE = 64 << 20
_MOST_RANGES = 10_000
#: The lines that are handed to Spark at a time, in bytes. They stay in their order, because a task
#: writes fewer files at a time than ``spark.sql.maxConcurrentOutputFileWriters`` allows.
_TEXT_SIZE = 1 << 20
#: The row of a range's counts among the files that its task writes.
_SHARE = "share"


@dataclass
class _SparkSource:
    """A folder that Spark reads, as a source that is read into the memory of the driver."""

    name: str
    input: SparkInput
    server: str | None = None

    def collect(self, request: ReadRequest) -> Collected:
        """Read all files."""
        return collect_files(self.input, request, request.context())


def compute_spark(
    spark: "SparkSession",
    source: str,
    target: str,
    config: RunConfig,
    how: Execution | None = None,
) -> Summary:
    """Compute a folder into a folder, both anything that Spark reads and writes.

    The files of the target are those of ``compute_folder``, each a folder of part files whose
    concatenation has the same bytes. Either the whole target is written or nothing of it.
    ``how``: who follows the progress; the number of ranges, where it is not 0.

    Raises:
        SourceError, UsageError, TargetError: as the messages say.
    """
    how = how or Execution()
    how.begin("reading")
    with words_of_failure(source, target):
        read_from = Storage(spark, source)
        place = SparkTarget(Storage(spark, target), read_from.url)
        files = spark_input(read_from, file_limits(config.settings.source))
        run = _Run(spark, _SparkSource(source, files), config, how)
        with place.writing() as work, tempfile.TemporaryDirectory() as folder:
            return run.write(place, work, Path(folder))


@dataclass(frozen=True)
class _Run:
    spark: "SparkSession"
    source: _SparkSource
    config: RunConfig
    how: Execution

    @cached_property
    def _driver(self) -> SparkDriver:
        return SparkDriver(self.spark, self.source.input)

    def write(self, place: SparkTarget, work: str, folder: Path) -> Summary:
        """Write everything to ``work``; ``folder``: an empty one of this machine."""
        request = self.config.read_request(self._driver)
        found = collect_ranges(self.source.input, request, Division(self._count(), SparkStore))
        written = None if found is None else self._ranges(found, place, work)
        if written is None or not written.total.cohort:
            # Nobody is in the cohort, or ranges cannot decide: everything is in memory here.
            place.clear(work)
            written = self._in_memory(folder)
        hashes = dict.fromkeys((file.name for file in self.source.input.files), None)
        summary = finish_folder(
            replace(written, hashes=hashes), self.config, folder, validate=False
        )
        place.add_files(work, folder, (*SLICED, DEVICES), MANIFEST)
        return summary

    def _count(self) -> int:
        """The number of ranges."""
        size = sum(file.size for file in self.source.input.files)
        least = self.spark.sparkContext.defaultParallelism
        return self.how.ranges or min(max(least, size // _BYTES_PER_RANGE), _MOST_RANGES)

    def _in_memory(self, folder: Path) -> Written:
        read = read_opened(self.source, self.config, driver=self._driver)
        return write_patients(read, self.config, folder, Execution())

    def _ranges(self, found: CollectedRanges, place: SparkTarget, work: str) -> Written:
        """Compute all ranges in tasks, which write their part files to ``work``."""
        self.how.begin("computing")
        collected, collector = found.collected, found.collector
        lacking = lacking_in(collected, self.config)
        store = collector.store
        assert isinstance(store, SparkStore)  # noqa: S101  as the division says
        assert store.rows is not None  # noqa: S101
        rows, added = store.rows, store.added
        task = _Task(
            self.source.name, _for_tasks(found), lacking, self.config.publish_context, _TEXT_SIZE
        )
        shared = self.spark.sparkContext.broadcast((task, added))

        def compute(number: int, batches: Iterable[Row]) -> Iterator[tuple[str, int, str]]:
            task, added = shared.value
            return task.compute(number, [bytes(one) for _, one in batches], added.get(number, []))

        texts = rows.mapPartitionsWithIndex(compute)
        schema = f"file string, {PART_FOLDER} int, text string"
        frame = self.spark.createDataFrame(texts, schema, verifySchema=False)
        place.write_parts(frame, work)
        total = RangeShare()
        for text in place.take_parts(work, _SHARE):
            total.merge(msgspec.msgpack.decode(base64.b64decode(text), type=RangeShare))
        place.name_parts(work)
        read = rest_of(self.source.name, found, total, lacking)
        return Written(read, total.counts, {})


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
class _Task:
    """What computes one range."""

    name: str
    found: CollectedRanges
    lacking: Lacking
    context: PublishContext
    text_size: int

    def compute(
        self, number: int, batches: list[bytes], more: list[bytes]
    ) -> Iterator[tuple[str, int, str]]:
        """The text of each file for one range, and what else was found in it."""
        collector = self.found.collector
        if number >= collector.ranges.count:
            return
        collector.store = SparkStore(added={number: [*batches, *more]})
        read = read_range(self.name, self.found, number, self.lacking)
        files = {name: BytesIO() for name in SLICED}
        pieces = publish_patients(
            read.records.records.values(),
            read.lacking,
            read.older,
            self.context,
            folder_outputs(self.context),
        )
        counts = write_pieces(pieces, files, self.context.mappings.base)
        share = RangeShare()
        share.add(read, counts)
        for name, file in files.items():
            for text in _texts(file.getvalue(), self.text_size):
                yield name, number, text
        yield _SHARE, number, base64.b64encode(msgspec.msgpack.encode(share)).decode()


def _texts(lines: bytes, size: int) -> Iterator[str]:
    """The lines in texts of about ``size`` bytes, without the end of the last line of each."""
    start = 0
    while start < len(lines):
        end = lines.find(b"\n", start + size)
        end = len(lines) - 1 if end < 0 else end
        yield lines[start:end].decode()
        start = end + 1
