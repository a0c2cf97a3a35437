"""A lock that allows one writer per target, for servers that cannot prevent duplicates."""

import hashlib
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from fhircryo.errors import LockedError, UsageError


@contextmanager
def target_lock(target: str, folder: Path) -> Iterator[None]:
    """Hold the lock of a target (its base URL) among the runs that share a state folder.

    The operating system releases the lock when the process ends, however it ends, so that no lock
    is left behind.

    Raises:
        LockedError: another run holds the lock; the message names its process.
        UsageError: the state folder cannot be written.
    """
    name = f"target-{hashlib.sha256(target.encode()).hexdigest()[:16]}"
    holder = folder / f"{name}.holder"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(folder / f"{name}.lock", mode=0o600)
        lock.acquire(blocking=False)
    except Timeout:
        raise LockedError(
            f"{target}: another run is writing to it{_described(holder)}; wait until it has ended"
        ) from None
    except OSError as error:
        raise UsageError(
            f"{folder}: the state folder cannot be written: {error.strerror} (setting state_folder)"
        ) from None
    try:
        _name_holder(holder)
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _name_holder(holder: Path) -> None:
    """Write down which process holds the lock, for the message of other runs."""
    content = {
        "process": os.getpid(),
        "machine": platform.node(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    unfinished = holder.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_text(json.dumps(content), encoding="utf-8")
    unfinished.replace(holder)


def _described(holder: Path) -> str:
    """The process that holds the lock, as far as it is known."""
    try:
        content = json.loads(holder.read_text(encoding="utf-8"))
        return f": process {content['process']} on {content['machine']}, since {content['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
