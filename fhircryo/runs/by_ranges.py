"""Computes a folder by ranges of patients, so that not all of them are in memory at a time.

Every process reads some parts of the files and then computes some ranges; what it read goes to the
others by files, not through the first process.
"""

import itertools
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from fhircryo.fhir.input_files import InputFile
from fhircryo.publish.folder_output import FolderOutput
from fhircryo.record.ranges import FileStore
from fhircryo.runs.drivers import driver_of, worth_sharing
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

#: Ranges for each process, so that all of them end at about the same time.
_RANGES_PER_PROCESS = 4
#: More ranges than this are many small files.
_MOST_RANGES = 250
#: Bytes of memory that one process needs for items, per byte of the files (measured at most: 1.1).
_MEMORY_PER_BYTE = 1.2
#: The size of a compressed file's content, as a multiple of the file's size (an estimate).
_COMPRESSION = 10
#: Bytes of memory that every process needs, whatever it reads.
_BASE_MEMORY = 160 << 20
#: Files of more bytes than this are read by ranges even by one process.
_LARGE = 1 << 30


def ranges_for(files: Iterable[InputFile], how: Execution) -> int:
    """The number of ranges into which the patients of a folder are divided; 1: none."""
    if how.ranges:
        return how.ranges
    size = sum(file.size * (_COMPRESSION if file.compression else 1) for file in files)
    several = how.workers > 1 and worth_sharing(size)
    for_processes = _RANGES_PER_PROCESS * how.workers if several else 1
    limit = how.memory or _LARGE * how.workers
    free = max(limit // how.workers - _BASE_MEMORY, _BASE_MEMORY // 4)
    for_memory = 1 if how.memory is None and size <= _LARGE else int(_MEMORY_PER_BYTE * size / free)
    return min(max(for_processes, for_memory), _MOST_RANGES)


def write_ranges(
    source: FolderSource, config: RunConfig, work: Path, how: Execution, count: int
) -> Written | None:
    """Read and compute a folder by ``count`` ranges and write the pieces to ``work``.

    Returns:
        None where only reading everything into memory gives the result: nobody is in the cohort, or
        the versions of resources contradict each other in a way that ranges do not resolve.
    """
    request = config.read_request(driver_of(how.workers), progress=how.progress)
    folder = work / "ranges"
    folder.mkdir()
    numbers = itertools.count()

    def new_store() -> FileStore:
        place = folder / str(next(numbers))
        place.mkdir()
        return FileStore(place)

    found = collect_ranges(source.input, request, Division(count, new_store))
    written = None
    if found is not None:
        how.begin("computing")
        written = _compute(source, found, config, work, how)
    shutil.rmtree(folder)
    return written if written is not None and written.total.cohort else None


def _compute(
    source: FolderSource, found: CollectedRanges, config: RunConfig, work: Path, how: Execution
) -> Written:
    """Compute all ranges; each process takes the next one as soon as it is free."""
    collected = found.collected
    lacking = lacking_in(collected, config)
    count = found.collector.ranges.count
    workers = min(how.workers, count)
    turns = Turns(count)

    def compute_some(worker: int) -> bytes:
        mine = RangeShare()
        make_output = folder_outputs(config.publish_context)
        with ThreadPoolExecutor(1) as beside:
            # Hashing releases the interpreter lock, so it costs next to nothing beside computing.
            hashing = beside.submit(hashes_of, collected.files[worker::workers])
            for number in turns:
                read = read_range(source.name, found, number, lacking)
                counts = _compute_range(read, number, config, work, make_output)
                mine.add(read, counts)
                if how.progress is not None and not worker:
                    how.progress(number + 1, count)
        mine.hashes = hashing.result()
        return msgspec.msgpack.encode(mine)

    total = RangeShare()
    for encoded in in_parallel(compute_some, workers):
        total.merge(msgspec.msgpack.decode(encoded, type=RangeShare))
    join_slices(work, count)
    read = rest_of(source.name, found, total, lacking)
    return Written(read, total.counts, total.hashes)


def _compute_range(
    read: ReadResult,
    number: int,
    config: RunConfig,
    work: Path,
    make_output: OutputMaker[FolderOutput],
) -> PublishCounts:
    pieces = publish_patients(
        read.records.records.values(), read.lacking, read.older, config.publish_context, make_output
    )
    return write_slice(pieces, work, number, config.mappings.base)
