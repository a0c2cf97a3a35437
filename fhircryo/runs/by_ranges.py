"""Computes a folder by ranges of patients, so that not all of them are in memory at a time.

Every process reads some parts of the files and then computes some ranges; what it read goes to the
others by files, not through the first process.
"""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import msgspec

from fhircryo.fhir.input_files import InputFile
from fhircryo.publish.folder_output import FolderOutput
from fhircryo.record.assemble import Records, assemble, count_drugs, named_drugs
from fhircryo.record.collector import Counted, Older, add_counts
from fhircryo.record.items import Issue
from fhircryo.runs.drivers import driver_of, worth_sharing
from fhircryo.runs.execution import Execution
from fhircryo.runs.processes import Turns, in_parallel
from fhircryo.runs.publish_patients import (
    OutputMaker,
    PublishCounts,
    folder_outputs,
    publish_patients,
)
from fhircryo.runs.read_source import ReadResult, lacking_in
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.slices import Written, hash_files, join, write_slice
from fhircryo.sources.folder_ranges import CollectedRanges, collect_ranges
from fhircryo.sources.folder_source import FolderSource
from fhircryo.storage.private_files import private_folder

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


class _Share(msgspec.Struct):
    """What a process found in the ranges that it computed.

    ``counted``, ``listed``, ``older``: what belongs to no record; ``drugs``: the Medications that
    therapies of the records name.
    """

    counts: PublishCounts
    counted: dict[Counted, int]
    listed: list[tuple[Issue, str]]
    older: list[Older]
    drugs: set[str]
    hashes: dict[str, str | None]


@dataclass(frozen=True)
class _Job:
    """What the processes share."""

    found: CollectedRanges
    read: ReadResult
    config: RunConfig
    work: Path


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
    with private_folder(work / "ranges") as folder:
        found = collect_ranges(source, request, count, folder)
        if found is None:
            return None
        how.begin("computing")
        collected = found.collected
        lacking = lacking_in(collected, config)
        empty = Records({}, Counter(collected.facts.counted), [], [], 0)
        read = ReadResult(source.name, None, collected, empty, lacking)
        job = _Job(found, read, config, work)
        total = _publish(job, how)
    if not total.cohort:
        return None
    return Written(read, total, hashes)
