"""Writes a new key: the private one for us alone, the public one to be registered."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec

from fhircryo.errors import UsageError
from fhircryo.fhir.auth.keys import Algorithm, SigningKey, generate
from fhircryo.storage.atomic import PRIVATE, PUBLIC, write_whole

#: Members of a JWK that are private, of RSA and of elliptic curves. RFC 7518 section 6.
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def write_key_pair(path: Path, jwks: Path, algorithm: Algorithm) -> SigningKey:
    """Write a new private key (PEM, mode 0600), and its public key into a JWKS file.

    A JWKS that is there already keeps its keys: while keys are changed both are registered.

    Raises:
        UsageError: the key file is there already, the JWKS file is none, or nothing can be written.
    """
    keys = _registered(jwks)
    key = generate(algorithm)
    _write_new(path, key.key.as_pem(private=True))
    try:
        content = json.dumps({"keys": [*keys, key.public()]}, indent=2)
        write_whole(jwks, content.encode() + b"\n", PUBLIC)
    except BaseException:
        path.unlink()
        raise
    return key


def _write_new(path: Path, content: bytes) -> None:
    """A file that nobody else can read at any moment, and that was not there before."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise UsageError(f"{path}: is there already; a key is never overwritten") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None


def _registered(jwks: Path) -> list[dict[str, Any]]:
    if not jwks.exists():
        return []
    try:
        keys = msgspec.json.decode(jwks.read_bytes(), type=_KeySet).keys
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        raise UsageError(f"{jwks}: is there already, and is no JWKS; name another file") from None
    if any(_PRIVATE_MEMBERS & one.keys() for one in keys):
        raise UsageError(f"{jwks}: there is a private key in it; nobody may be given that")
    return keys
