"""A folder as target: all its files or none, whatever happens in between."""

import ctypes
import errno
import glob
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fhircryo.errors import TargetError, UsageError

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
    """Refuse a target that would lose something.

    ``own``: what an earlier run can have written there.

    Raises:
        UsageError: it is the source, a file, or a folder that holds something else (not with
            ``force``: then what else it holds stays in it).
    """
    if source is not None and target.resolve() == source.resolve():
        raise UsageError(f"{target}: TARGET is SOURCE; its files would be lost: name another")
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
    """What a folder holds that no earlier run of ours wrote."""
    names = {entry.name for entry in target.iterdir()}
    ours = names & own if _is_ours(target / MANIFEST) else set()
    return sorted(names - ours)


def _is_ours(manifest: Path) -> bool:
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "fhircryo" in content


@contextmanager
def writing_to(target: Path, own: frozenset[str] = FILES) -> Iterator[Path]:
    """A private folder to write to, that takes the target's place when all is written.

    ``own``: what is replaced in the target, if it is there; everything else stays.

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
    """Remove what runs on this machine that were killed left behind."""
    for left in target.parent.glob(f"{glob.escape(_work_name(target))}*.*.tmp"):
        process = left.name.split(".")[-3]
        if process.isdecimal() and not _is_alive(int(process)):
            shutil.rmtree(left, ignore_errors=True)


def _work_name(target: Path) -> str:
    """How folders in the making begin; another machine's processes are not ours to judge."""
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
    """The same files at another place, so that the folder can be exchanged as a whole."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.copytree(entry, place, symlinks=True, copy_function=os.link)
    else:
        os.link(entry, place, follow_symlinks=False)


def _exchange(work: Path, target: Path) -> None:
    """Swap two folders in one step; where the system cannot, in two."""
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
    target.rename(old / target.name)
    work.rename(target)
    shutil.rmtree(old)


def _sync(path: Path) -> None:
    """Have the system write a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
