"""Who can change a file or folder: checked before what others could have put there is used.

Root and the user who runs the program are trusted, every other user is not, also if root runs the
program: what another user owns, that user could exchange for a link to any file of the machine.
On systems without POSIX permissions nothing is checked.
"""

import errno
import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fhircryo.errors import UsageError

#: The extended attribute in which Linux keeps a file's access control list.
ACL_ATTRIBUTE = "system.posix_acl_access"
_POSIX = os.name == "posix"
_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_NO_WAITING: int = getattr(os, "O_NONBLOCK", 0)
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600


def read_settings_file(path: Path, *, found: bool) -> str:
    """Return the text of a settings file, if it can be trusted.

    ``found``: whether the file was found in the current folder, not named by the user. A file that
    was found is used as ssh uses ``~/.ssh/config``: only if no other user owns it, is the owner of
    a symbolic link to it, or can write it. Who names a file trusts its owner and its group, but a
    file that every user of the machine can write is refused, because it can name a command to run.

    Raises:
        UsageError: other users could have written the file.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        link = path.lstat()
        if _POSIX and found:
            remedy = _remedy(path, status)
            if stat.S_ISLNK(link.st_mode) and not is_trusted(link.st_uid):
                status, remedy = link, f"rm {shlex.quote(str(path))}"
            why = others_who_can_change(path, status)
            if why:
                if not status.st_mode & stat.S_IWOTH:
                    remedy += f", or name it: --config {shlex.quote(str(path))}"
                raise UsageError(
                    f"{path}: this settings file was found in the current folder, but {why}, so it"
                    f" is not used; if you trust what is in it, run: {remedy}"
                )
        elif _POSIX and status.st_mode & stat.S_IWOTH:
            raise UsageError(
                f"{path}: every user of this machine can change this settings file"
                f" ({described(status)}), so it is not used; check what is in it, and run: chmod"
                f" o-w {shlex.quote(str(path))}"
            )
        return file.read().decode()


def others_who_can_change(
    path: Path, status: os.stat_result, also: int | None = None
) -> str | None:
    """Return in words which other users can change a file or folder, or None if none can.

    ``status``: that of the open file, or of ``path`` without following a symbolic link. ``also``: a
    further user who may own it.
    """
    mode = status.st_mode
    if not is_trusted(status.st_uid, also):
        return f"it belongs to user {user_name(status.st_uid)} ({described(status)})"
    if stat.S_ISLNK(mode):
        return None  # The mode of a link has no meaning.
    if mode & stat.S_IWOTH:
        return f"every user of this machine can change it ({described(status)})"
    if mode & stat.S_IWGRP and not (_is_private_group(status.st_gid) and not _has_acl(path)):
        return f"its group can change it ({described(status)})"
    return None


def make_own_folder(folder: Path, name: str) -> None:
    """Create a folder that only its owner can access, if it does not exist; then check it.

    Folders above it that do not exist are created alike, whatever the umask.

    Raises:
        UsageError: others can change what the folder holds, see ``check_own_folder``.
        OSError: the folder cannot be created.
    """
    if not folder.exists():
        # Nothing is made, as root anywhere, on a way that others can change.
        _check_way(folder, name, None)
        for missing in reversed([one for one in folder.absolute().parents if not one.exists()]):
            missing.mkdir(exist_ok=True, mode=_PRIVATE_FOLDER)
        folder.mkdir(exist_ok=True, mode=_PRIVATE_FOLDER)
    check_own_folder(folder, name)


def check_own_folder(folder: Path, name: str, *, reading: bool = False) -> None:
    """Check that other users can neither change what a folder holds nor exchange the folder.

    They cannot if root or this user owns the folder and all folders above it, if only they can
    write the folder, and if the folders above are not writable for everybody, unless only the
    owner of a file can remove it there (as in /tmp). Symbolic links on the way must belong to
    root or this user: systemd makes ``/var/lib/NAME`` one for services with a dynamic user.

    ``name``: what the folder is called in messages. ``reading``: root may read what a service of
    another user wrote, in a folder that only this user can change.

    Raises:
        UsageError: others can.
        OSError: the folder does not exist.
    """
    if not _POSIX:
        return
    also = folder.stat().st_uid if reading and os.geteuid() == 0 else None
    _check_folder(folder, name, folder.stat(), also)
    _check_way(folder, name, also)


def _check_way(folder: Path, name: str, also: int | None) -> None:
    """Check the folders above a folder, as far as they exist, and the links on the way to it."""
    for above in _way_to(folder) if _POSIX else ():
        try:
            status = above.lstat()
        except FileNotFoundError:
            continue
        if not is_trusted(status.st_uid, also):
            why = "another user owns it"
        elif _anybody_can_exchange_its_entries(status):
            why = "every user of this machine can change it"
        else:
            continue
        raise UsageError(
            f"{folder}: {name}: on the way to it, {above} is not safe: {why}"
            f" ({described(status)}); choose another folder"
        )


def _anybody_can_exchange_its_entries(status: os.stat_result) -> bool:
    mode = status.st_mode
    return stat.S_ISDIR(mode) and bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def check_own_entry(folder: Path, name: str) -> None:
    """Check a folder of ours that lies among the files of a user, such as beside an output.

    The folders above it are not checked: a group may share them.

    Raises:
        UsageError: the folder is a symbolic link, belongs to another user, or others can write it.
        OSError: the folder does not exist.
    """
    if _POSIX:
        _check_folder(folder, name, folder.lstat())


def _check_folder(folder: Path, name: str, status: os.stat_result, also: int | None = None) -> None:
    why = others_who_can_change(folder, status, also)
    if stat.S_ISLNK(status.st_mode):
        why = "it is a symbolic link"
    if why:
        remedy = _folder_remedy(folder, status)
        raise UsageError(f"{folder}: {name}: {why}, so it is not used; {remedy}")


def check_own_file(path: Path, name: str, *, create: bool = False) -> None:
    """Check a file in a folder of ours: a regular file with one name that nobody else can change.

    ``create``: create the file if it does not exist; it is private from the start.

    Raises:
        UsageError: the file is a symbolic link, has a second name (a hard link), is no file, or
            others can change it.
        OSError: the file cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    try:
        descriptor = os.open(path, flags | _NO_FOLLOW | _NO_WAITING, _PRIVATE_FILE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _unsafe(path, name, "it is a symbolic link", "rm") from None
        raise
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise _unsafe(path, name, "it is not a file", "rm -r")
    if not _POSIX:
        return
    if status.st_nlink > 1:
        raise _unsafe(path, name, f"it has {status.st_nlink} names (hard links)", "rm")
    why = others_who_can_change(path, status)
    if why:
        raise _unsafe(path, name, why, "rm" if not is_trusted(status.st_uid) else "chmod go-w")


def read_file(path: Path) -> bytes:
    """Return the content of a file; never that of a link's target, and never waits, as for a pipe.

    Raises:
        OSError: the file cannot be read, or is a symbolic link or no file.
    """
    descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW | _NO_WAITING)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a file")
        return file.read()


def _unsafe(path: Path, name: str, why: str, command: str) -> UsageError:
    return UsageError(
        f"{path}: {name}: {why}, so it is not used; find out who made it, then run: {command}"
        f" {shlex.quote(str(path))}"
    )


def _way_to(folder: Path) -> Iterator[Path]:
    """Yield the folders above a folder and the links on the way to it, links not followed."""
    written, resolved = folder.absolute(), folder.resolve()
    yield from dict.fromkeys((*written.parents, *resolved.parents))
    if written.is_symlink():
        yield written


def _remedy(path: Path, status: os.stat_result) -> str:
    quoted = shlex.quote(str(path))
    if not is_trusted(status.st_uid):
        return f"chown {user_name(os.geteuid())} {quoted}"
    return f"chmod go-w {quoted}"


def _folder_remedy(folder: Path, status: os.stat_result) -> str:
    if not is_trusted(status.st_uid):
        return f"run as user {user_name(status.st_uid)}, or choose another folder"
    if status.st_mode & stat.S_ISVTX:
        return f"choose a folder of its own, such as {folder / 'fhircryo'}"
    return f"check what is in it, and run: chmod go-w {shlex.quote(str(folder))}"


def is_trusted(user: int, also: int | None = None) -> bool:
    """Whether a user is root, the one who runs the program, or ``also``."""
    return user in (0, also) or user == os.geteuid()


def _is_private_group(group: int) -> bool:
    """Whether a group has the name of the current user and no other members.

    Many systems give each user such a group, and make files writable for it (umask 002).
    """
    import grp
    import pwd

    with suppress(KeyError):
        entry = grp.getgrgid(group)
        user = pwd.getpwuid(os.geteuid())
        return (
            user.pw_gid == group
            and entry.gr_name == user.pw_name
            and set(entry.gr_mem) <= {user.pw_name}
        )
    return False


def _has_acl(path: Path) -> bool:
    """Whether a file has an access control list, which may name any user."""
    try:
        return bool(os.getxattr(path, ACL_ATTRIBUTE))
    except (AttributeError, OSError):
        return False


def described(status: os.stat_result) -> str:
    """Return owner and mode in words, for messages."""
    return f"owner {user_name(status.st_uid)}, mode {stat.S_IMODE(status.st_mode):04o}"


def user_name(user: int) -> str:
    """Return the name of a user, or the number if it has none."""
    import pwd

    with suppress(KeyError):
        return pwd.getpwuid(user).pw_name
    return str(user)
