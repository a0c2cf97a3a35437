"""How many processes a source is divided among when the user does not say."""

import os
from pathlib import Path

#: Bytes of a folder for which another process pays off.
_BYTES_PER_PROCESS = 64 << 20
#: The size of a compressed file's content, as a multiple of the file's size (an estimate).
_COMPRESSION = 10
_COMPRESSED = frozenset({".gz", ".zst"})
#: Bytes of memory that all processes need per byte of the folder (measured at most: 1.1).
_MEMORY_PER_BYTE = 1.2


def workers_for(source: str) -> int:
    """Return the number of processes that pay off for a source and fit into the free memory."""
    from fhircryo.runs.processes import CAN_FORK, available_memory

    folder = Path(source)
    if not CAN_FORK or not folder.is_dir():
        return 1
    size = sum(
        file.stat().st_size * (_COMPRESSION if file.suffix.lower() in _COMPRESSED else 1)
        for file in folder.rglob("*")
        if file.is_file()
    )
    useful = min(os.cpu_count() or 1, 1 + size // _BYTES_PER_PROCESS)
    memory = available_memory()
    if memory is None or not size:
        return useful
    return max(1, min(useful, int(memory / (_MEMORY_PER_BYTE * size))))
