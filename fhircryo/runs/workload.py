"""How the reading of a folder is divided: by its size, the processors and the memory."""

import os
from collections.abc import Iterable
from math import ceil
from pathlib import Path

from fhircryo.fhir.input_files import InputFile
from fhircryo.runs.drivers import worth_sharing
from fhircryo.runs.execution import Execution
from fhircryo.runs.processes import CAN_FORK, available_memory

#: Bytes of a folder for which another process pays off.
_BYTES_PER_PROCESS = 64 << 20
#: Ranges for each process, so that all of them end at about the same time.
_RANGES_PER_PROCESS = 4
#: More ranges than this are many small files.
_MOST_RANGES = 250
#: Bytes of memory that one process needs for items, per byte of the files (measured at most: 1.1).
_MEMORY_PER_BYTE = 1.2
#: The size of a compressed file's content, as a multiple of the file's size (an estimate).
_COMPRESSION = 10
_COMPRESSED = frozenset({".gz", ".zst"})
#: Bytes of memory that every process needs, whatever it reads.
BASE_MEMORY = 160 << 20
#: Files of more bytes than this are read by ranges even by one process.
_LARGE = 1 << 30


def workers_for(source: str, limit: int | None = None) -> int:
    """The number of processes that pay off for a source and fit into the memory.

    ``limit``: bytes of memory that all processes together may need; None: what is available.
    """
    folder = Path(source)
    if not CAN_FORK or not folder.is_dir():
        return 1
    size = sum(
        file.stat().st_size * (_COMPRESSION if file.suffix.lower() in _COMPRESSED else 1)
        for file in folder.rglob("*")
        if file.is_file()
    )
    useful = min(os.cpu_count() or 1, 1 + size // _BYTES_PER_PROCESS)
    if limit is not None:
        # Half of it is for what is read.
        return max(1, min(useful, limit // (2 * BASE_MEMORY)))
    memory = available_memory()
    if memory is None or not size:
        return useful
    return max(1, min(useful, int(memory / (_MEMORY_PER_BYTE * size))))


def ranges_for(files: Iterable[InputFile], how: Execution, base: int = BASE_MEMORY) -> int:
    """The number of ranges into which the patients of a folder are divided; 1: none.

    ``base``: bytes of memory that every process needs, whatever it reads.
    """
    if how.ranges:
        return how.ranges
    size = sum(file.size * (_COMPRESSION if file.compression else 1) for file in files)
    several = how.workers > 1 and worth_sharing(size)
    for_processes = _RANGES_PER_PROCESS * how.workers if several else 1
    limit = how.memory or _LARGE * how.workers
    free = max(limit // how.workers - base, base // 4)
    bounded = how.memory is not None or size > _LARGE
    for_memory = ceil(_MEMORY_PER_BYTE * size / free) if bounded else 1
    return min(max(for_processes, for_memory), _MOST_RANGES)
