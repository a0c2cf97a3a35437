"""A lock that allows one writer per target, for servers that cannot prevent duplicates."""

import hashlib
import json
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from fhircryo.errors import LockedError, TargetError, UsageError
from fhircryo.fhir.urls import base_url
from fhircryo.storage.atomic import PRIVATE, write_whole
from fhircryo.storage.ownership import check_own_file, make_own_folder, read_file

LOG = logging.getLogger("fhircryo")

#: What the folder is called in messages.
STATE_FOLDER = "state folder (setting state_folder)"


def make_state_folder(folder: Path) -> None:
    """Create the folder of locks and states if it does not exist, and check that it is ours alone.

    Raises:
        UsageError: the folder cannot be created, or other users can change what is in it.
    """
    try:
        make_own_folder(folder, STATE_FOLDER)
    except OSError as error:
        raise _cannot_be_written(folder, error) from None


@contextmanager
def target_lock(target: str, folder: Path) -> Iterator[None]:
    """Hold the lock of a target (its base URL) among the runs that share a state folder.

    The operating system releases the lock when the process ends, however it ends, so that no lock
    is left behind.

    Raises:
        LockedError: another run holds the lock; the message names its process.
        UsageError: the state folder cannot be written, or other users can change what is in it.
    """
    name = f"target-{hashlib.sha256(base_url(target).encode()).hexdigest()[:16]}"
    holder = folder / f"{name}.holder"
    try:
        make_state_folder(folder)
        check_own_file(folder / f"{name}.lock", "lock", create=True)
        lock = FileLock(folder / f"{name}.lock", mode=PRIVATE)
        lock.acquire(blocking=False)
    except Timeout:
        raise LockedError(
            f"{target}: another run is writing to it{_described(holder)}; wait until it has ended"
        ) from None
    except OSError as error:
        raise _cannot_be_written(folder, error) from None
    try:
        _name_holder(holder)
        yield
    finally:
        with suppress(OSError):  # it only serves the message of other runs
            holder.unlink()
        lock.release()


def _cannot_be_written(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{folder}: the state folder cannot be written: {error.strerror} (setting state_folder)"
    )


def _name_holder(holder: Path) -> None:
    """Write down which process holds the lock, for the message of other runs."""
    content = {
        "process": os.getpid(),
        "machine": platform.node(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        write_whole(holder, json.dumps(content).encode())
    except TargetError as error:
        LOG.warning("%s; the lock is held, and other runs cannot be told by which process", error)


def _described(holder: Path) -> str:
    """The process that holds the lock, as far as it is known."""
    try:
        content = json.loads(read_file(holder).decode())
        return f": process {content['process']} on {content['machine']}, since {content['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
