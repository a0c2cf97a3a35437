"""Atomic file writes: a file is written completely or not at all."""

import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

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

    The temporary file is created exclusively, under a name that cannot be predicted, and a symbolic
    link at ``path`` is replaced, not followed: so the file can be written into a folder that others
    can write, also as root. A device, or a link among devices, is not replaced. The file and its
    name are on the disk when the function returns.

    ``mode``: the permissions of the file.

    Raises:
        TargetError: the file cannot be written.
    """
    try:
        if _is_device(path):
            raise TargetError(f"{path}: cannot be written: it is a device, not a file")
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                _fill(file, content)
                if os.name == "posix":  # by the descriptor: the name may mean another file by now
                    os.fchmod(file.fileno(), mode)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise TargetError(f"{path}: cannot be written: {error.strerror or error}") from error


def write_new(path: Path, content: bytes) -> None:
    """Create a file that only its owner can ever read; after an error there is no file.

    Raises:
        FileExistsError: something of this name exists, be it a symbolic link to nowhere.
        OSError: the file cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _fill(file, content)
        sync_folder(path.parent)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make the system write the names in a folder to the disk, where it can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not known on this file system
            raise
    finally:
        os.close(descriptor)


def _is_device(path: Path) -> bool:
    """Whether a name is a device, such as /dev/null, or a link in their folder (/dev/stdout).

    Root would take it away from the whole machine.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    among_devices = path.absolute().parent == Path("/dev")
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or (among_devices and stat.S_ISLNK(mode))


def _fill(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
