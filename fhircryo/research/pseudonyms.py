"""Pseudonyms: keyed hashes of patient ids, which only a holder of the key can link to them."""

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from fhircryo.errors import UsageError
from fhircryo.storage.atomic import PRIVATE

_KEY_BYTES = 32
_OTHERS = 0o077
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
        digest = hmac.new(self.key, patient.encode(), hashlib.sha256).digest()
        return "P" + base64.b32encode(digest[:_PSEUDONYM_BYTES]).decode().lower()


def read_key(path: Path) -> Pseudonyms:
    """The pseudonyms of the key in a file.

    Raises:
        UsageError: the file cannot be read, other users can read it, or it does not hold a key.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except OSError as error:
        raise UsageError(f"{path}: the key cannot be read: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path}: no key that fhircryo cohort made; name another --key") from None
    if mode & _OTHERS and os.name == "posix":
        raise UsageError(f"{path}: others can read this key: chmod 600 {path}")
    if len(key) != _KEY_BYTES:
        raise UsageError(f"{path}: no key that fhircryo cohort made; name another --key")
    return Pseudonyms(key)


def write_key(path: Path, pseudonyms: Pseudonyms) -> None:
    """Write the key to a new file that only its owner can read.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(pseudonyms.key.hex() + "\n")
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise UsageError(f"{path}: the key cannot be written: {error.strerror} (--key)") from None
