"""A cohort on Spark: tasks build the tables of ranges of patients, the driver joins them."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from fhircryo.research.arrow import decode, encode, joined
from fhircryo.research.build import Built, build, build_range, built_schemas, complete
from fhircryo.research.cohort_writer import CohortWriter, Found
from fhircryo.research.folder_options import MANIFEST, OWN, FolderOptions
from fhircryo.research.stored_table import PartWriter, in_files
from fhircryo.research.table_builder import BuiltCounts
from fhircryo.research.table_options import TableOptions
from fhircryo.runs.execution import Execution
from fhircryo.runs.publish_patients import PublishCounts
from fhircryo.runs.range_results import RangeShare
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.spark.session import words_of_failure
from fhircryo.runs.spark.spark_ranges import (
    SparkRanges,
    SparkSource,
    read_in_memory,
    read_on_spark,
)
from fhircryo.runs.spark.storage import Storage
from fhircryo.runs.spark.target import SparkTarget
from fhircryo.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def write_cohort_on_spark(
    spark: "SparkSession",
    source: str,
    target: str,
    config: RunConfig,
    options: FolderOptions,
    how: Execution | None = None,
) -> Found:
    """Compute the cohort of a folder into a folder, both anything that Spark reads and writes.

    The files of the target are those of ``write_cohort``, of the same content, except that every
    table is a folder of Parquet files. Either the whole target is written or nothing of it.
    ``how``: who follows the progress; the number of ranges, where it is not 0.

    Raises:
        SourceError, UsageError, TargetError: as the messages say.
    """
    how = how or Execution()
    how.begin("reading")
    with words_of_failure(source, target):
        read_from, write_to = Storage(spark, source), Storage(spark, target)
        place = SparkTarget(write_to, read_from.url, OWN)
        writer = CohortWriter.to(write_to.local_path, config, replace(options, in_parts=True))
        files = SparkSource.at(source, read_from, config)
        with place.writing() as work, tempfile.TemporaryDirectory() as folder:
            built = _build(spark, files, writer, how, Path(folder))
            how.begin("writing")
            written = Path(folder) / "cohort"
            written.mkdir()
            found = writer.write(written, replace(built, hashes=files.hashes))
            writer.retain_key()
            manifest = written.joinpath(MANIFEST).rename(Path(folder) / MANIFEST)
            write_to.add_folder(written, work)
            # On an object store, which renames by copying, the manifest says that all is there.
            write_to.add_file(manifest, f"{work}/{MANIFEST}")
    return found


def _build(
    spark: "SparkSession", files: SparkSource, writer: CohortWriter, how: Execution, folder: Path
) -> Built:
    """The tables, in files in ``folder``; in memory only where that is needed."""
    config, options = writer.config, writer.tables
    ranges = read_on_spark(spark, files, config, how.ranges, options.name)
    how.begin("computing")
    if ranges is None:
        return build(read_in_memory(spark, files, config), config, options, Execution())
    return _build_ranges(ranges, config, options, folder)


class _RangeTables(msgspec.Struct):
    """What one range gave; ``tables``: encoded, by name."""

    share: RangeShare
    counts: BuiltCounts
    tables: dict[str, bytes]


@dataclass(frozen=True)
class _Task:
    """Builds the tables of a range."""

    config: RunConfig
    options: TableOptions

    def compute(self, read: ReadResult, _: int) -> Iterator[bytes]:
        """The tables of a range in one piece, and what else was found in it."""
        schemas = built_schemas(self.config, self.options)
        parts: dict[str, list[pa.Table]] = {name: [] for name in schemas}

        def take(name: str, part: pa.Table) -> None:
            parts[name].append(part)

        counts = build_range(read, self.config, self.options, schemas, take)
        share = RangeShare()
        share.add(read, PublishCounts())
        tables = {name: encode(joined(found)) for name, found in parts.items()}
        yield msgspec.msgpack.encode(_RangeTables(share, counts, tables))


def _build_ranges(
    ranges: SparkRanges, config: RunConfig, options: TableOptions, folder: Path
) -> Built:
    """Have tasks build the tables of all ranges, and write them to one file for each table."""
    from pyspark import StorageLevel

    # Tasks need no settings, and those may contain secrets.
    bare = replace(config, settings=Settings.model_construct())
    rows = ranges.map(_Task(bare, options)).persist(StorageLevel.DISK_ONLY)
    total, counts = RangeShare(), BuiltCounts()
    decoder = msgspec.msgpack.Decoder(_RangeTables)
    # All tasks run before the first range is fetched: the iterator alone would run one at a time.
    rows.count()
    with PartWriter(lambda table: folder / table) as writer:
        for row in rows.toLocalIterator():
            found = decoder.decode(row)
            total.merge(found.share)
            counts.add(found.counts)
            for name, table in found.tables.items():
                writer.write(name, decode(table))
    rows.unpersist()
    stored = {
        name: in_files(columns, [folder / name])
        for name, columns in built_schemas(config, options).items()
    }
    return complete(Built(ranges.rest(total), stored, counts), config, options)
