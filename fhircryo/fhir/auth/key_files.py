"""Writes a new key pair: a private key file, and a JWKS file with the public key to register."""

import json
from pathlib import Path
from typing import Any

import msgspec

from fhircryo.errors import UsageError
from fhircryo.fhir.auth.keys import Algorithm, SigningKey, generate
from fhircryo.storage.atomic import PUBLIC, write_new, write_whole

#: The members of a JWK that hold private parts of a key. Source: RFC 7518 section 6.
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def write_key_pair(path: Path, jwks: Path, algorithm: Algorithm) -> SigningKey:
    """Write a new private key to ``path`` (PEM, mode 0600) and its public key to ``jwks``.

    Keys that the JWKS file already has are kept: during a change of keys both are registered.

    Raises:
        UsageError: the key file exists already, the JWKS file exists and is not a JWKS of public
            keys, or a file cannot be written.
    """
    keys = _existing_keys(jwks)
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
    """Create the file of a private key; fail if the file exists."""
    try:
        write_new(path, content)
    except FileExistsError:
        raise UsageError(f"{path}: exists already; a key is never overwritten") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None


def _existing_keys(jwks: Path) -> list[dict[str, Any]]:
    """Return the public keys of a JWKS file; none if the file does not exist."""
    if not jwks.exists():
        return []
    try:
        keys = msgspec.json.decode(jwks.read_bytes(), type=_KeySet).keys
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        raise UsageError(f"{jwks}: exists already and is not a JWKS; choose another file") from None
    if any(_PRIVATE_MEMBERS & key.keys() for key in keys):
        raise UsageError(
            f"{jwks}: contains a private key, which must not be given to anybody; choose another"
            " file"
        )
    return keys
