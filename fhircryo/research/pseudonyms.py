"""Pseudonyms: keyed hashes of patient ids, which only a holder of the key can link to them."""

import base64
import errno
import hashlib
import hmac
import secrets
from pathlib import Path

from fhircryo.errors import TargetError, UsageError
from fhircryo.storage.atomic import write_new
from fhircryo.storage.private_files import read_private

_KEY_BYTES = 32
#: The disk, the quota or the greatest size of a file is reached.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: With 80 bits, the probability that two of a million patients collide is 4e-13.
_PSEUDONYM_BYTES = 10


class Pseudonyms:
    """The pseudonyms of one key: a patient has the same one in every table and run.

    They are HMACs with SHA-256 (RFC 2104), so that ids cannot be tried out without the key.
    """

    def __init__(self, key: bytes) -> None:
        self.key = key

    @classmethod
    def at_random(cls) -> "Pseudonyms":
        """Pseudonyms of a random key."""
        return cls(secrets.token_bytes(_KEY_BYTES))

    def of(self, patient: str) -> str:
        """The pseudonym of a patient."""
        digest = hmac.digest(self.key, patient.encode(), "sha256")
        return "P" + base64.b32encode(digest[:_PSEUDONYM_BYTES]).decode().lower()

    def of_input(self, what: str, value: str) -> str:
        """The keyed hash (HMAC-SHA-256, hexadecimal) of a property of an input file.

        Without the key nobody can check whether a file that they hold was an input, and with it
        whether the patients of that file are in the cohort. ``what`` keeps the hashes of different
        properties, and of patient ids, apart.
        """
        return hmac.new(self.key, f"input {what}\n{value}".encode(), hashlib.sha256).hexdigest()


def read_key(path: Path) -> Pseudonyms:
    """The pseudonyms of the key in a file.

    Raises:
        UsageError: the file cannot be read, other users can read or change it, or it does not hold
            a key.
    """
    content = read_private(path, "key of the pseudonyms")
    try:
        key = bytes.fromhex(content.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise UsageError(f"{path}: no key that fhircryo cohort made; name another --key")
    return Pseudonyms(key)


def write_key(path: Path, pseudonyms: Pseudonyms) -> None:
    """Write the key to a new file that only its owner can read.

    Raises:
        UsageError: the file cannot be written.
        TargetError: the disk has no room for it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(path, pseudonyms.key.hex().encode() + b"\n")
    except OSError as error:
        words = f"{path}: the key cannot be written: {error.strerror} (--key)"
        raise (TargetError if error.errno in _FULL else UsageError)(words) from None
