"""Computes a folder by ranges of patients, so that not all of them are in memory at a time.

Every process reads some parts of the files and then computes some ranges; what it read goes to the
others by files, not through the first process.
"""

import itertools
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from fhircryo.publish.folder_output import FolderOutput
from fhircryo.record.ranges import FileStore
from fhircryo.runs.drivers import driver_of
from fhircryo.runs.execution import Execution
from fhircryo.runs.processes import Turns, in_parallel
from fhircryo.runs.publish_patients import (
    OutputMaker,
    PublishCounts,
    folder_outputs,
    publish_patients,
)
from fhircryo.runs.range_results import RangeShare, read_range, rest_of
from fhircryo.runs.read_source import ReadResult, lacking_in
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.slices import Written, hashes_of, join_slices, write_slice
from fhircryo.sources.folder_ranges import CollectedRanges, Division, collect_ranges
from fhircryo.sources.folder_source import FolderSource


class RangeTask(Protocol):
    """What one process does with the ranges that it takes."""

    def add(self, read: ReadResult, number: int) -> PublishCounts:
        """Compute a range; returns what was published of it."""

    def encode(self) -> bytes:
        """What is to be sent to the first process beside the counts."""


@dataclass(frozen=True)
class RangeTotals:
    """What all ranges gave.

    ``read``: what was read, without the records. ``results``: of each process, what its task
    encoded.
    """

    read: ReadResult
    counts: PublishCounts
    hashes: dict[str, str | None]
    results: list[bytes]
    count: int


@dataclass(frozen=True)
class RangeRun:
    """A computation by ranges of patients.

    ``count``: how many ranges. ``name``: the name of a patient, from the id, by which the ranges
    follow each other. ``task``: makes what each process does with its ranges.
    """

    source: FolderSource
    config: RunConfig
    how: Execution
    count: int
    task: Callable[[], RangeTask]
    name: Callable[[str], str] = str

    def totals(self, work: Path) -> RangeTotals | None:
        """Read the folder into files in ``work``, which are removed again, and compute all ranges.

        Returns:
            None where only reading everything into memory gives the result: there is no candidate,
            or the versions of resources contradict each other in a way that ranges do not resolve.
        """
        request = self.config.read_request(driver_of(self.how.workers), progress=self.how.progress)
        folder = work / "ranges"
        folder.mkdir()
        numbers = itertools.count()

        def new_store() -> FileStore:
            place = folder / str(next(numbers))
            place.mkdir()
            return FileStore(place)

        division = Division(self.count, new_store, self.name)
        found = collect_ranges(self.source.content, request, division)
        totals = None
        if found is not None:
            self.how.begin("computing")
            totals = self._compute(found)
        shutil.rmtree(folder)
        return totals

    def _compute(self, found: CollectedRanges) -> RangeTotals:
        """Compute all ranges; each process takes the next one as soon as it is free."""
        collected, name, progress = found.collected, self.source.name, self.how.progress
        lacking = lacking_in(collected, self.config)
        count = found.collector.ranges.count
        workers = min(self.how.workers, count)
        turns = Turns(count)

        def compute_some(worker: int) -> bytes:
            mine, task = RangeShare(), self.task()

            def compute_one(number: int) -> None:
                # A function of its own, so that nothing of a range is held when the next is read.
                read = read_range(name, found, number, lacking)
                mine.add(read, task.add(read, number))

            with ThreadPoolExecutor(1) as beside:
                # Hashing releases the interpreter lock, so it costs next to nothing beside it.
                hashing = beside.submit(hashes_of, collected.files[worker::workers])
                for number in turns:
                    compute_one(number)
                    if progress is not None and not worker:
                        progress(number + 1, count)
            mine.hashes = hashing.result()
            return msgspec.msgpack.encode((mine, task.encode()))

        total, results = RangeShare(), []
        decoder = msgspec.msgpack.Decoder(tuple[RangeShare, bytes])
        for share, result in map(decoder.decode, in_parallel(compute_some, workers)):
            total.merge(share)
            results.append(result)
        read = rest_of(name, found, total, lacking)
        return RangeTotals(read, total.counts, total.hashes, results, count)


class _PublishTask:
    """Writes what is published of each range to the files of its slice."""

    def __init__(self, config: RunConfig, work: Path) -> None:
        self._config = config
        self._work = work
        self._make_output: OutputMaker[FolderOutput] = folder_outputs(config.publish_context)

    def add(self, read: ReadResult, number: int) -> PublishCounts:
        """Write a range."""
        pieces = publish_patients(
            read.records.records.values(),
            read.lacking,
            read.older,
            self._config.publish_context,
            self._make_output,
        )
        return write_slice(pieces, self._work, number, self._config.mappings.base)

    def encode(self) -> bytes:
        """Nothing: all is in the files."""
        return b""


def write_ranges(
    source: FolderSource, config: RunConfig, work: Path, how: Execution, count: int
) -> Written | None:
    """Read and compute a folder by ``count`` ranges and write the pieces to ``work``.

    Returns:
        None where only reading everything into memory gives the result, also because nobody is in
        the cohort.
    """
    run = RangeRun(source, config, how, count, partial(_PublishTask, config, work))
    totals = run.totals(work)
    if totals is None:
        return None
    join_slices(work, totals.count)
    return Written(totals.read, totals.counts, totals.hashes) if totals.counts.cohort else None
