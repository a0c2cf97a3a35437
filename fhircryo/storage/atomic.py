"""Atomic file writes: a file is written completely or not at all."""

import os
import tempfile
from pathlib import Path

from fhircryo.errors import TargetError, UsageError

PRIVATE = 0o600
PUBLIC = 0o644


def check_absent(path: Path, option: str, *, force: bool) -> None:
    """Check that a file that an option names would not be overwritten.

    Raises:
        UsageError: the file exists, and ``force`` is false.
    """
    if path.exists() and not force:
        raise UsageError(f"{option} {path}: the file exists; choose another name, or use --force")


def write_whole(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write a file atomically: under a temporary name in the same folder, then renamed.

    ``mode``: the permissions of the file.

    Raises:
        TargetError: the file cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.chmod(mode)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise TargetError(f"{path}: cannot be written: {error.strerror or error}") from error
