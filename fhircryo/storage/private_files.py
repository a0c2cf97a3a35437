"""Files that hold secrets or decisions: who can access them is checked before they are used."""

import logging
import os
import shlex
import stat
import struct
from pathlib import Path
from typing import NamedTuple

from fhircryo.errors import UsageError
from fhircryo.storage.ownership import ACL_ATTRIBUTE, is_trusted, user_name

LOG = logging.getLogger("fhircryo")

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
#: The tags of an access control list's entries for a named user, for the owning group and for a
#: named group. Source: linux/posix_acl_xattr.h
_USER = 0x02
_GROUPS = frozenset({0x04, 0x08})


def read_private(path: Path, what: str) -> bytes:
    """Return the content of a file that only its owner may access, such as a private key.

    ``what``: the name of the content in error messages.

    Raises:
        UsageError: the file cannot be read, belongs to another user who is not root, or others can
            access it too.
    """
    found = _read(path, what)
    if not is_trusted(found.owner):
        raise UsageError(
            f"{path}: {what}: this file belongs to user {user_name(found.owner)}, who knows it and"
            " can change it, so it is not used; run as that user, or make a file of your own"
        )
    if found.mode & _OTHERS:
        raise UsageError(
            f"{path}: {what}: users other than its owner can access this file (mode"
            f" {found.mode:04o}), so it is not used; if nobody has read it yet, run: chmod 600"
            f" {shlex.quote(str(path))}"
        )
    return found.content


def read_secret(path: Path, what: str) -> str:
    """Return the text of a file that holds a password or token.

    Logs a warning if every user of the machine can read the file. Its owner may be another user:
    a container sees the files of its host so.

    Raises:
        UsageError: the file cannot be read, is not UTF-8, or every user can change it.
    """
    found = _read(path, what)
    _check_not_for_everybody(path, what, found.mode)
    if found.mode & stat.S_IROTH:
        LOG.warning(
            "%s: %s: every user of this machine can read this file; run: chmod 600 %s",
            path,
            what,
            shlex.quote(str(path)),
        )
    try:
        return found.content.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path}: {what}: not text in UTF-8") from None


def read_guarded(path: Path, what: str) -> bytes:
    """Return the content of a file that decides what is published, such as a list of patients.

    Raises:
        UsageError: the file cannot be read, or every user of the machine can change it.
    """
    found = _read(path, what)
    _check_not_for_everybody(path, what, found.mode)
    return found.content


def _check_not_for_everybody(path: Path, what: str, mode: int) -> None:
    if mode & stat.S_IWOTH:
        raise UsageError(
            f"{path}: {what}: every user of this machine can change this file (mode {mode:04o}), so"
            f" it is not used; check what is in it, and run: chmod o-w {shlex.quote(str(path))}"
        )


class _Found(NamedTuple):
    content: bytes
    mode: int
    owner: int


def _read(path: Path, what: str) -> _Found:
    """Return content, permissions and owner of one open file, even if the path is replaced.

    On systems without POSIX permissions the file counts as private.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            mode = _mode(file.fileno()) if os.name == "posix" else stat.S_IRUSR
            if not stat.S_ISREG(status.st_mode):
                mode &= ~stat.S_IWOTH  # /dev/null: who writes to it changes nothing
            return _Found(file.read(), mode, status.st_uid)
    except OSError as error:
        raise UsageError(f"{path}: {what}: cannot be read: {error.strerror or error}") from None


def _mode(descriptor: int) -> int:
    """Return a file's permissions, without group bits that an access list grants to us alone.

    systemd passes credentials to a service in this way: mode 0440, with an access list that
    grants access to the service's user only.
    """
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    try:
        entries = _read_acl(os.getxattr(descriptor, ACL_ATTRIBUTE))
    except (AttributeError, OSError, struct.error):
        return mode
    own_ids = {0, os.geteuid()}
    for_others = [
        entry
        for entry in entries
        if entry.tag in _GROUPS or (entry.tag == _USER and entry.id not in own_ids)
    ]
    return mode if any(entry.permissions for entry in for_others) else mode & ~stat.S_IRWXG


class _AclEntry(NamedTuple):
    tag: int
    permissions: int
    id: int


def _read_acl(content: bytes) -> list[_AclEntry]:
    """Decode an access control list: a version, then tag, permissions and id of each entry."""
    return [_AclEntry(*fields) for fields in struct.iter_unpack("<HHI", content[4:])]
