"""Files that hold secrets: who else can read them is looked at before they are used."""

import logging
import os
import shlex
import stat
from pathlib import Path

from fhircryo.errors import UsageError

LOG = logging.getLogger("fhircryo")

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_EVERYBODY_READS = stat.S_IROTH


def read_private(path: Path, what: str) -> bytes:
    """A file that nobody but its owner may read: a private key. ``what``: for messages.

    Raises:
        UsageError: it cannot be read, or others can do so too.
    """
    content, mode = _read(path, what)
    if os.name == "posix" and mode & _OTHERS:
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
    if os.name == "posix" and mode & _EVERYBODY_READS:
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
    """Content and permissions of the same file, whatever is put in its place meanwhile."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            return file.read(), mode
    except OSError as error:
        raise UsageError(f"{path}: {what}: cannot be read: {error.strerror or error}") from None
