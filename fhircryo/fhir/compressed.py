"""Opens compressed files as streams of bytes."""

import gzip
import sys
import zlib
from io import BufferedIOBase
from typing import IO, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: What reading a damaged or incomplete file raises.
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError)
_NAMES = {"gz": "gzip", "zst": "Zstandard"}


def open_compressed(file: BufferedIOBase, compression: str) -> BufferedIOBase:
    """Read what a compressed file holds; ``compression``: ``gz`` or ``zst``.

    Reading raises one of ``DAMAGE`` where the file is damaged.
    """
    if compression == "gz":
        return cast("BufferedIOBase", gzip.open(file, "rb"))
    return cast("BufferedIOBase", zstd.open(cast("IO[bytes]", file), "rb"))


def words_of_damage(compression: str, error: Exception) -> str:
    """Return what is said of a damaged file."""
    return f"the {_NAMES[compression]} file is damaged or incomplete: {error}"
