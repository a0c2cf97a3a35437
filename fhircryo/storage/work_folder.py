"""A private folder beside a target that keeps what an interrupted run has read."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from fhircryo.errors import LockedError, TargetError, UsageError
from fhircryo.storage.atomic import write_whole
from fhircryo.storage.ownership import check_own_entry, check_own_file

#: The content of a work folder is reused for this long; after that the record may have changed.
OLDEST = timedelta(hours=24)
_MARK, _LOCK = "fhircryo-work.json", "lock"


def work_folder_of(target: Path) -> Path:
    """Return the path of a target's work folder."""
    return target.with_name(f"{target.name}.work")


@contextmanager
def work_folder(target: Path, server: str) -> Iterator[Path]:
    """Yield the work folder of a target, locked for this run.

    The folder holds what an earlier run of the last 24 hours read from the same ``server`` (base
    URL). It is removed at the end of the block; after an exception it is kept if it has content.

    Raises:
        UsageError: a file or folder of this name exists and was not made by fhircryo, or other
            users can change what is in it.
        TargetError: the folder cannot be written.
        LockedError: another run uses the folder.
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
            if _names(folder) <= {_MARK, _LOCK}:
                shutil.rmtree(folder, ignore_errors=True)  # nothing was read
            raise
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Create the folder if necessary, make it private, and hold its lock."""
    if _is_foreign(folder):
        raise UsageError(
            f"{folder}: this name is needed for the work folder, but what exists there was"
            " not made by fhircryo; move it, or write to another target"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_own_entry(folder, "work folder")
        folder.chmod(0o700)
        check_own_file(folder / _LOCK, "lock", create=True)
        lock = FileLock(folder / _LOCK, timeout=0, mode=0o600)
        lock.acquire()
    except Timeout:
        raise LockedError(f"{folder}: another run uses this folder; wait until it ends") from None
    except OSError as error:
        raise TargetError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _is_foreign(folder: Path) -> bool:
    """Whether the path exists and was not made by fhircryo."""
    if folder.is_symlink() or not folder.is_dir():
        return folder.is_symlink() or folder.exists()
    names = _names(folder)
    return bool(names - {_LOCK}) and _MARK not in names


def _prepare(folder: Path, server: str) -> None:
    """Keep the folder's content if it can be reused; otherwise empty and mark the folder."""
    names = _names(folder) - {_LOCK}
    if names:
        if _reusable(folder, server):
            return
        for name in names:
            entry = folder / name
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"fhircryo": "work folder", "server": server, "begun": begun}
    write_whole(folder / _MARK, json.dumps(content).encode())


def _reusable(folder: Path, server: str) -> bool:
    """Whether the content of a work folder is recent and from the same server."""
    try:
        mark = json.loads((folder / _MARK).read_text(encoding="utf-8"))
        begun = datetime.fromisoformat(mark["begun"])
        same = mark["server"] == server
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return same and timedelta(0) <= datetime.now(UTC) - begun < OLDEST
