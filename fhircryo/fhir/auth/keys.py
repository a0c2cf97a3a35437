"""The private key that signs assertions, and the public key that is registered for it.

SMART Backend Services requires servers to support RS384 or ES384.
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

_SMALLEST_RSA_BITS = 2048
_NEW_RSA_BITS = 3072
_CURVE = "P-384"


class SigningKey(NamedTuple):
    """A private key. ``kid``: the key id under which its public key is registered."""

    key: RSAKey | ECKey
    algorithm: Algorithm
    kid: str

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm}, kid {self.kid})"

    @property
    def size(self) -> str:
        """The key's type and size as shown to people, such as ``RSA 3072``."""
        raw = self.key.private_key
        return f"RSA {raw.key_size}" if isinstance(raw, RSAPrivateKey) else f"EC {_CURVE}"

    def public(self) -> dict[str, Any]:
        """Return the public key as a JWK, to be registered."""
        jwk = dict(self.key.as_dict(private=False))
        # A JWK file may state these members; they are replaced by how the key is used here.
        for name in ("use", "key_ops", "alg", "kid"):
            jwk.pop(name, None)
        return {**jwk, "kid": self.kid, "alg": self.algorithm, "use": "sig"}


def generate(algorithm: Algorithm) -> SigningKey:
    """Return a new key; its ``kid`` is its thumbprint (RFC 7638)."""
    key: RSAKey | ECKey
    key = RSAKey.generate_key(_NEW_RSA_BITS) if algorithm == "RS384" else ECKey.generate_key(_CURVE)
    return SigningKey(key, algorithm, key.thumbprint())


def load_key(path: Path, kid: str | None = None) -> SigningKey:
    """Return the private key in a PEM or JWK file.

    ``kid``: the key id under which it is registered; None: that of the JWK, or the thumbprint.

    Raises:
        UsageError: the file cannot be read, others can read it too, or the key cannot sign RS384
            or ES384.
    """
    content = read_private(path, "private key")
    key = _import_key(content, path)
    algorithm = _algorithm(key, path)
    return SigningKey(key, algorithm, kid or key.kid or key.thumbprint())


def _import_key(content: bytes, path: Path) -> RSAKey | ECKey:
    if b"ENCRYPTED" in content:
        raise UsageError(
            f"{path}: private key: it is encrypted, and a scheduled run cannot ask for its"
            " password; store it unencrypted with mode 0600, as `fhircryo auth keygen` does"
        )
    try:
        text = content.decode()
        found = _from_jwk(text) if text.lstrip().startswith("{") else _from_pem(text)
    except (JoseError, ValueError, TypeError, KeyError):
        # The library's message is not shown: it may contain parts of the key.
        raise UsageError(f"{path}: private key: neither PEM nor a JWK") from None
    if not isinstance(found, RSAKey | ECKey):
        raise UsageError(f"{path}: private key: an RSA key or an EC key on P-384 is needed")
    if not found.is_private:
        raise UsageError(f"{path}: private key: the file holds a public key")
    return found


def _from_jwk(text: str) -> Key:
    """Return the key of a JWK. Its stated use is ignored: the key determines the algorithm."""
    stated_use = {"alg", "use", "key_ops"}
    members = json.loads(text).items()
    return import_key({name: value for name, value in members if name not in stated_use})


def _from_pem(text: str) -> RSAKey | ECKey:
    try:
        return RSAKey.import_key(text)
    except (JoseError, ValueError, TypeError):
        return ECKey.import_key(text)


def _algorithm(key: RSAKey | ECKey, path: Path) -> Algorithm:
    raw = key.private_key
    if isinstance(raw, RSAPrivateKey):
        if raw.key_size < _SMALLEST_RSA_BITS:
            raise UsageError(
                f"{path}: private key: RSA of {raw.key_size} bits; at least"
                f" {_SMALLEST_RSA_BITS} bits are needed"
            )
        return "RS384"
    if isinstance(raw, EllipticCurvePrivateKey) and raw.curve.name == "secp384r1":
        return "ES384"
    raise UsageError(f"{path}: private key: an EC key must be on P-384, which ES384 requires")
