"""Writes a folder as target: all its files or none, even if the run is killed."""

import ctypes
import errno
import glob
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fhircryo.errors import TargetError, UsageError
from fhircryo.interrupts import held
from fhircryo.storage.json_files import read_json

OBSERVATIONS = "Observation.ndjson"
PROVENANCES = "Provenance.ndjson"
DEVICES = "Device.ndjson"
ISSUES = "issues.ndjson"
MANIFEST = "manifest.json"
FILES = frozenset({OBSERVATIONS, PROVENANCES, DEVICES, ISSUES, MANIFEST})

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def check_target(
    target: Path, source: Path | None, *, force: bool = False, own: frozenset[str] = FILES
) -> None:
    """Refuse a target whose files could be lost.

    ``own``: the names of the files that an earlier run can have written there. ``force``: accept a
    folder that holds other files; they are retained.

    Raises:
        UsageError: the target is the source, a file, or a folder that holds other files.
    """
    if source is not None and target.resolve() == source.resolve():
        raise UsageError(
            f"{target}: TARGET is SOURCE, and its files would be lost; name another folder"
        )
    if source is not None and target.resolve() in source.resolve().parents:
        raise UsageError(f"{target}: TARGET holds SOURCE; name another folder")
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{target}: TARGET is a file; name a folder")
    others = _others(target, own)
    if others and not force:
        beside = ", or --force to write beside it" if own is FILES else ""
        raise UsageError(
            f"{target}: TARGET holds something else ({', '.join(others[:3])}"
            f"{', ...' if len(others) > 3 else ''}); name an empty or new folder{beside}"
        )


def _others(target: Path, own: frozenset[str]) -> list[str]:
    """The files of a folder that no earlier run wrote."""
    names = {entry.name for entry in target.iterdir()}
    ours = names & own if _is_ours(target / MANIFEST) else set()
    return sorted(names - ours)


def _is_ours(manifest: Path) -> bool:
    try:
        content = read_json(manifest)
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "fhircryo" in content


@contextmanager
def writing_to(target: Path, own: frozenset[str] = FILES) -> Iterator[Path]:
    """A private folder to write to, which replaces the target when everything is written.

    ``own``: the names of the files that are replaced in the target; other files are retained.

    Raises:
        TargetError: the folder cannot be written.
    """
    target = target.resolve()
    work: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_away(target)
        work = Path(
            tempfile.mkdtemp(
                prefix=f"{_work_name(target)}{os.getpid()}.", suffix=".tmp", dir=target.parent
            )
        )
        yield work
        _take_place(work, target, own)
    except OSError as error:
        raise TargetError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def _clear_away(target: Path) -> None:
    """Remove the folders that killed runs on this machine left behind."""
    for left in target.parent.glob(f"{glob.escape(_work_name(target))}*.*.tmp"):
        process = left.name.split(".")[-3]
        if process.isdecimal() and not _is_alive(int(process)):
            shutil.rmtree(left, ignore_errors=True)


def _work_name(target: Path) -> str:
    """The start of the names of unfinished folders.

    It contains the machine, because only processes of this machine can be checked.
    """
    machine = re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "here"
    return f".{target.name}.{machine}."


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _take_place(work: Path, target: Path, own: frozenset[str]) -> None:
    """Put the written folder in the place of the target, with the other files of the target."""
    for entry in work.rglob("*"):
        entry.chmod(0o700 if entry.is_dir() else 0o600)
        _sync(entry)
    _sync(work)
    if target.exists():
        for name in _others(target, own):
            if name not in own:
                _link(target / name, work / name)
        _exchange(work, target)
    else:
        work.rename(target)
    _sync(target.parent)


def _link(entry: Path, place: Path) -> None:
    """Link the same files at another place, so that the folder can be exchanged as a whole."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.copytree(entry, place, symlinks=True, copy_function=os.link)
    else:
        os.link(entry, place, follow_symlinks=False)


def _exchange(work: Path, target: Path) -> None:
    """Swap two folders in one step, or in two where the system cannot do it in one."""
    libc = ctypes.CDLL(None, use_errno=True)
    rename = getattr(libc, "renameat2", None)
    if rename is not None:
        done = rename(
            _AT_FDCWD,
            os.fsencode(work),
            _AT_FDCWD,
            os.fsencode(target),
            _RENAME_EXCHANGE,
        )
        if done == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(code, os.strerror(code))
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    with held():  # in between there is no target
        target.rename(old / target.name)
        work.rename(target)
    shutil.rmtree(old)


def _sync(path: Path) -> None:
    """Make the system write a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
