"""The private key that signs our assertions, and the public one that is registered.

RS384 and ES384 are what SMART Backend Services asks for.
Source: https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html
"""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, RSAKey, import_key

from fhircryo.errors import UsageError
from fhircryo.storage.private_files import read_private

Algorithm = Literal["RS384", "ES384"]

_LEAST_BITS = 2048
_BITS = 3072
_CURVE = "P-384"


class SigningKey(NamedTuple):
    """A private key. ``kid``: what the server knows its public key by."""

    key: RSAKey | ECKey
    algorithm: Algorithm
    kid: str

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm}, kid {self.kid})"

    @property
    def size(self) -> str:
        """Its kind and size, for people."""
        raw = self.key.private_key
        return f"RSA {raw.key_size}" if isinstance(raw, RSAPrivateKey) else f"EC {_CURVE}"

    def public(self) -> dict[str, Any]:
        """The public key as a JWK, to be registered."""
        plain = dict(self.key.as_dict(private=False))
        # What a PEM file says of itself is nothing; what a JWK says is replaced by what holds.
        for name in ("use", "key_ops", "alg", "kid"):
            plain.pop(name, None)
        return {**plain, "kid": self.kid, "alg": self.algorithm, "use": "sig"}


def generate(algorithm: Algorithm) -> SigningKey:
    """A new key, called by its thumbprint (RFC 7638)."""
    key: RSAKey | ECKey
    key = RSAKey.generate_key(_BITS) if algorithm == "RS384" else ECKey.generate_key(_CURVE)
    return SigningKey(key, algorithm, key.thumbprint())


def load_key(path: Path, kid: str | None = None) -> SigningKey:
    """The key in a PEM or JWK file.

    ``kid``: what it was registered under, where that is neither in the JWK nor its thumbprint.

    Raises:
        UsageError: it cannot be read, others can read it too, or it is none that can sign.
    """
    content = read_private(path, "private key")
    key = _imported(content, path)
    algorithm = _algorithm(key, path)
    return SigningKey(key, algorithm, kid or key.kid or key.thumbprint())


def _imported(content: bytes, path: Path) -> RSAKey | ECKey:
    if b"ENCRYPTED" in content:
        raise UsageError(
            f"{path}: private key: it is encrypted, and nobody is there to type its password; keep"
            " it unencrypted with mode 0600, as `fhircryo auth keygen` writes it"
        )
    try:
        text = content.decode()
        found = _of_jwk(text) if text.lstrip().startswith("{") else _of_pem(text)
    except (JoseError, ValueError, TypeError, KeyError):
        # What the library says may hold parts of the key.
        raise UsageError(f"{path}: private key: neither PEM nor a JWK") from None
    if not isinstance(found, RSAKey | ECKey):
        raise UsageError(f"{path}: private key: RSA, or EC on P-384, is needed")
    if not found.is_private:
        raise UsageError(f"{path}: private key: it is a public one")
    return found


def _of_jwk(text: str) -> Key:
    """What it says of its own use is left aside: which algorithm it signs by follows from it."""
    said = {"alg", "use", "key_ops"}
    return import_key({key: value for key, value in json.loads(text).items() if key not in said})


def _of_pem(text: str) -> RSAKey | ECKey:
    try:
        return RSAKey.import_key(text)
    except (JoseError, ValueError, TypeError):
        return ECKey.import_key(text)


def _algorithm(key: RSAKey | ECKey, path: Path) -> Algorithm:
    raw = key.private_key
    if isinstance(raw, RSAPrivateKey):
        if raw.key_size < _LEAST_BITS:
            raise UsageError(
                f"{path}: private key: RSA of {raw.key_size} bits; {_LEAST_BITS} is the least"
            )
        return "RS384"
    if isinstance(raw, EllipticCurvePrivateKey) and raw.curve.name == "secp384r1":
        return "ES384"
    raise UsageError(f"{path}: private key: of elliptic curves only P-384 signs ES384")
