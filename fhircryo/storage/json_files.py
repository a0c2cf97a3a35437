"""Reads JSON files that anybody may have put there: regular files only, and not without limit."""

import json
import os
import stat
from pathlib import Path
from typing import Any

#: What this program writes as one JSON document is smaller, in bytes.
_LARGEST = 256 << 20


def read_json(path: Path, largest: int = _LARGEST) -> Any:
    """Return the content of a JSON file.

    ``largest``: a file with more bytes is refused.

    Raises:
        OSError: the file cannot be read, or is no regular file: a pipe could be waited for without
            end.
        ValueError: it is not JSON, is nested too deeply, or is too large.
    """
    # Without waiting: opening a pipe waits for somebody who writes to it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path}: it is not a regular file")
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it has more than {largest >> 20} MB")
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
