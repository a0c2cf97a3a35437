"""Files that hold secrets: their permissions are checked before they are used."""

import logging
import os
import shlex
import stat
import struct
from pathlib import Path
from typing import NamedTuple

from fhircryo.errors import UsageError

LOG = logging.getLogger("fhircryo")

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WORLD_READABLE = stat.S_IROTH
#: The extended attribute in which Linux keeps a file's access control list, and the tags of its
#: entries for a named user, for the owning group and for a named group.
#: Source: linux/posix_acl_xattr.h
_ACL = "system.posix_acl_access"
_USER = 0x02
_GROUPS = frozenset({0x04, 0x08})


def read_private(path: Path, what: str) -> bytes:
    """Return the content of a file that only its owner may access, such as a private key.

    ``what``: the name of the content in error messages.

    Raises:
        UsageError: the file cannot be read, or others can access it too.
    """
    content, mode = _read(path, what)
    if mode & _OTHERS:
        raise UsageError(
            f"{path}: {what}: users other than its owner can access this file (mode {mode:04o}),"
            " so it is not used; if nobody has read it yet, run: chmod 600"
            f" {shlex.quote(str(path))}"
        )
    return content


def read_secret(path: Path, what: str) -> str:
    """Return the text of a file that holds a password or token.

    Logs a warning if every user of the machine can read the file.

    Raises:
        UsageError: the file cannot be read, or is not UTF-8.
    """
    content, mode = _read(path, what)
    if mode & _WORLD_READABLE:
        LOG.warning(
            "%s: %s: every user of this machine can read this file; run: chmod 600 %s",
            path,
            what,
            shlex.quote(str(path)),
        )
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path}: {what}: not text in UTF-8") from None


def _read(path: Path, what: str) -> tuple[bytes, int]:
    """Return content and permissions of one open file, even if the path is replaced meanwhile.

    On systems without POSIX permissions the file counts as private.
    """
    try:
        with path.open("rb") as file:
            mode = _mode(file.fileno()) if os.name == "posix" else stat.S_IRUSR
            return file.read(), mode
    except OSError as error:
        raise UsageError(f"{path}: {what}: cannot be read: {error.strerror or error}") from None


def _mode(descriptor: int) -> int:
    """Return a file's permissions, without group bits that an access list grants to us alone.

    systemd passes credentials to a service in this way: mode 0440, with an access list that
    grants access to the service's user only.
    """
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    try:
        entries = _read_acl(os.getxattr(descriptor, _ACL))
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
