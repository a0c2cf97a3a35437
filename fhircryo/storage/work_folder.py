"""A private folder beside a target, for what a run that breaks off shall not have to read again."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from fhircryo.errors import LockedError, TargetError, UsageError
from fhircryo.storage.atomic import write_whole

#: What was read longer ago is read again: the record has moved on.
OLDEST = timedelta(hours=24)
_MARK, _LOCK = "fhircryo-work.json", "lock"


def work_folder_of(target: Path) -> Path:
    """The work folder of a target."""
    return target.with_name(f"{target.name}.work")


@contextmanager
def work_folder(target: Path, server: str) -> Iterator[Path]:
    """The work folder of a target, with what a run of the last day left of the same server.

    It is removed when all went well, and stays where not, unless nothing was read.

    Raises:
        UsageError: there is something of this name that is not ours.
        TargetError: it cannot be written.
        LockedError: another run is at work in it.
    """
    folder = work_folder_of(target.resolve())
    with _locked(folder):
        try:
            _prepare(folder, server)
        except OSError as error:
            raise TargetError(f"{folder}: cannot be written: {error.strerror or error}") from error
        try:
            yield folder
        except BaseException:
            if {one.name for one in folder.iterdir()} <= {_MARK, _LOCK}:
                shutil.rmtree(folder, ignore_errors=True)  # nothing was read
            raise
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """A folder that is there, its owner's alone, and this run's alone."""
    if _is_foreign(folder):
        raise UsageError(f"{folder}: this name is needed, and what is there is not ours")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        lock = FileLock(folder / _LOCK, timeout=0, mode=0o600)
        lock.acquire()
    except Timeout:
        raise LockedError(f"{folder}: another run is at work in it; wait for its end") from None
    except OSError as error:
        raise TargetError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _is_foreign(folder: Path) -> bool:
    """Whether something stands there that no run of ours made."""
    if folder.is_symlink() or not folder.is_dir():
        return folder.is_symlink() or folder.exists()
    names = {one.name for one in folder.iterdir()}
    return bool(names - {_LOCK}) and _MARK not in names


def _prepare(folder: Path, server: str) -> None:
    """Leave in a folder what is still of use, and nothing else."""
    others = {one.name for one in folder.iterdir()} - {_LOCK}
    if others:
        if _goes_on(folder, server):
            return
        for name in others:
            entry = folder / name
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"fhircryo": "work folder", "server": server, "begun": begun}
    write_whole(folder / _MARK, json.dumps(content).encode())


def _goes_on(folder: Path, server: str) -> bool:
    """Whether what is in a work folder is still of use."""
    try:
        mark = json.loads((folder / _MARK).read_text(encoding="utf-8"))
        begun = datetime.fromisoformat(mark["begun"])
        same = mark["server"] == server
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return same and timedelta(0) <= datetime.now(UTC) - begun < OLDEST
