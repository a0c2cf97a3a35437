"""Files that hold secrets: who else can read them is looked at before they are used."""

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
_EVERYBODY_READS = stat.S_IROTH
#: Where Linux keeps a file's access list, and the tags of entries of a user and of groups in it.
#: Source: linux/posix_acl_xattr.h
_ACL = "system.posix_acl_access"
_USER = 0x02
_GROUPS = frozenset({0x04, 0x08})


def read_private(path: Path, what: str) -> bytes:
    """A file that nobody but its owner may read: a private key. ``what``: for messages.

    Raises:
        UsageError: it cannot be read, or others can do so too.
    """
    content, mode = _read(path, what)
    if mode & _OTHERS:
        raise UsageError(
            f"{path}: {what}: others than its owner may use this file (mode {mode:04o}), so it is"
            f" not used; if nobody has had it yet: chmod 600 {shlex.quote(str(path))}"
        )
    return content


def read_secret(path: Path, what: str) -> str:
    """A file with a password or token; that everybody may read it is told.

    Raises:
        UsageError: it cannot be read.
    """
    content, mode = _read(path, what)
    if mode & _EVERYBODY_READS:
        LOG.warning(
            "%s: %s: everybody on this machine can read it: chmod 600 %s",
            path,
            what,
            shlex.quote(str(path)),
        )
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path}: {what}: not text in UTF-8") from None


def _read(path: Path, what: str) -> tuple[bytes, int]:
    """Content and permissions of the same file, whatever is put in its place meanwhile.

    On systems without such permissions they are as if all were well.
    """
    try:
        with path.open("rb") as file:
            mode = _mode(file.fileno()) if os.name == "posix" else stat.S_IRUSR
            return file.read(), mode
    except OSError as error:
        raise UsageError(f"{path}: {what}: cannot be read: {error.strerror or error}") from None


def _mode(descriptor: int) -> int:
    """The permissions of a file; those of its group without what an access list gives to us alone.

    systemd hands credentials over in this way: of mode 0440, but only for the service's user.
    """
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    try:
        entries = _acl(os.getxattr(descriptor, _ACL))
    except (AttributeError, OSError, struct.error):
        return mode
    us = {0, os.geteuid()}
    others = [
        one for one in entries if one.tag in _GROUPS or (one.tag == _USER and one.whose not in us)
    ]
    return mode if any(one.rights for one in others) else mode & ~stat.S_IRWXG


class _Entry(NamedTuple):
    tag: int
    rights: int
    whose: int


def _acl(content: bytes) -> list[_Entry]:
    """An access list as Linux keeps it: a version, then tag, rights and id of each entry."""
    return [_Entry(*fields) for fields in struct.iter_unpack("<HHI", content[4:])]
