"""A run from a folder to a folder on Spark: part files in patient order, and the manifest last."""

import base64
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fhircryo.publish.folder_target import DEVICES, MANIFEST
from fhircryo.runs.execution import Execution
from fhircryo.runs.publish_patients import PublishContext, folder_outputs, publish_patients
from fhircryo.runs.range_results import RangeShare
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.slices import SLICED, Written, write_pieces
from fhircryo.runs.spark.session import words_of_failure
from fhircryo.runs.spark.spark_ranges import (
    SparkRanges,
    SparkSource,
    read_in_memory,
    read_on_spark,
)
from fhircryo.runs.spark.storage import Storage
from fhircryo.runs.spark.target import PART_FOLDER, SparkTarget
from fhircryo.runs.summary import Summary
from fhircryo.runs.to_folder import finish_folder, write_patients

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: The lines that are handed to Spark at a time, in bytes. They stay in their order, because a task
#: writes fewer files at a time than ``spark.sql.maxConcurrentOutputFileWriters`` allows.
_TEXT_SIZE = 1 << 20
#: The row of a range's counts among the files that its task writes.
_SHARE = "share"


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
        files = SparkSource.at(source, read_from, config)
        with place.writing() as work, tempfile.TemporaryDirectory() as folder:
            ranges = read_on_spark(spark, files, config, how.ranges)
            how.begin("computing")
            written = None if ranges is None else _write_ranges(ranges, config, place, work)
            if written is None or not written.total.cohort:
                # Nobody is in the cohort, or ranges cannot decide: everything is in memory here.
                place.clear(work)
                read = read_in_memory(spark, files, config)
                written = write_patients(read, config, Path(folder), Execution())
            written = replace(written, hashes=files.hashes)
            summary = finish_folder(written, config, Path(folder), validate=False)
            place.add_files(work, Path(folder), (*SLICED, DEVICES), MANIFEST)
    return summary


def _write_ranges(ranges: SparkRanges, config: RunConfig, place: SparkTarget, work: str) -> Written:
    """Compute all ranges in tasks, which write their part files to ``work``."""
    texts = ranges.map(_Task(config.publish_context, _TEXT_SIZE))
    schema = f"file string, {PART_FOLDER} int, text string"
    place.write_parts(ranges.spark.createDataFrame(texts, schema, verifySchema=False), work)
    total = RangeShare()
    for text in place.take_parts(work, _SHARE):
        total.merge(msgspec.msgpack.decode(base64.b64decode(text), type=RangeShare))
    place.name_parts(work)
    return Written(ranges.rest(total), total.counts, {})


@dataclass(frozen=True)
class _Task:
    """Computes one range into texts: by file, the number of its part, and some of its lines."""

    context: PublishContext
    text_size: int

    def compute(self, read: ReadResult, number: int) -> Iterator[tuple[str, int, str]]:
        """The text of each file for one range, and what else was found in it."""
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
