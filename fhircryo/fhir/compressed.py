"""Opens compressed files as streams of bytes."""

import gzip
import sys
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: What reading a damaged or incomplete file raises.
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError)
_NAMES = {"gz": "gzip", "zst": "Zstandard"}


def open_compressed(path: Path, compression: str) -> BufferedIOBase:
    """Open a compressed file for reading what it holds; ``compression``: ``gz`` or ``zst``.

    Raises:
        OSError: the file cannot be opened. Reading raises one of ``DAMAGE`` where it is damaged.
    """
    if compression == "gz":
        return cast("BufferedIOBase", gzip.open(path, "rb"))
    return cast("BufferedIOBase", zstd.open(path, "rb"))


def words_of_damage(compression: str, error: Exception) -> str:
    """Return what is said of a damaged file."""
    return f"the {_NAMES[compression]} file is damaged or incomplete: {error}"
