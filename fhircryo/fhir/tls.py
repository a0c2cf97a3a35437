"""Reads a client certificate and its key from PEM or PKCS#12 files, for mutual TLS."""

import secrets
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12
from urllib3.util.ssl_ import create_urllib3_context

from fhircryo.errors import UsageError
from fhircryo.logs import keep_secret
from fhircryo.storage.private_files import read_private

_PEM = b"-----BEGIN "
_PRIVATE = b"PRIVATE KEY-----"


def client_context(certificate: Path, key: Path | None, password: str | None) -> ssl.SSLContext:
    """Return a TLS context with a client certificate.

    ``certificate``: a PEM file, with its key in the same file or in ``key``; or a PKCS#12 file,
    which contains the key. ``password``: the password of the key or of the PKCS#12 file.

    Raises:
        UsageError: a file cannot be read, others can read the key too, the key does not belong to
            the certificate, or the password is wrong.
    """
    if password is not None:
        keep_secret(password)
    content = _read(certificate)
    context = create_urllib3_context()
    if _PEM not in content:
        if key is not None:
            raise UsageError(
                f"{certificate}: client certificate: a PKCS#12 file contains its key, but"
                " client_key is set as well; remove client_key"
            )
        _load_pkcs12(
            context, certificate, read_private(certificate, "client certificate"), password
        )
        return context
    if key is not None:
        read_private(key, "client key")
    elif _PRIVATE in content:
        read_private(certificate, "client certificate with its key")
    else:
        raise UsageError(
            f"{certificate}: client certificate: the file contains no key; set client_key"
        )
    _load(context, certificate, key, password, certificate)
    return context


def _read(certificate: Path) -> bytes:
    try:
        return certificate.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{certificate}: client certificate: cannot be read: {error.strerror}"
        ) from None


def _load_pkcs12(context: ssl.SSLContext, path: Path, content: bytes, password: str | None) -> None:
    try:
        bundle = load_pkcs12(content, password.encode() if password is not None else None)
    except ValueError:
        raise UsageError(
            f"{path}: client certificate: neither PEM nor a PKCS#12 file that can be opened"
            f" {_with(password)}"
        ) from None
    if bundle.key is None or bundle.cert is None:
        raise UsageError(
            f"{path}: client certificate: the file does not contain a certificate with its key"
        )
    # OpenSSL reads keys from files only. The file is encrypted with a random password that is not
    # stored, in a private folder, and is deleted as soon as it has been read.
    one_time_password = secrets.token_urlsafe(32)
    additional = [extra.certificate for extra in bundle.additional_certs]
    chain = [bundle.cert.certificate, *additional]
    pem = b"".join(_pem(certificate) for certificate in chain) + bundle.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(one_time_password.encode())
    )
    with tempfile.TemporaryDirectory(prefix="fhircryo-") as folder:
        file = Path(folder, "client.pem")
        file.touch(mode=0o600)
        file.write_bytes(pem)
        _load(context, file, None, one_time_password, path)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _load(
    context: ssl.SSLContext, file: Path, key: Path | None, password: str | None, shown: Path
) -> None:
    """Load a certificate and its key into the context; ``shown``: the path in error messages."""
    try:
        # Without a password OpenSSL would prompt for one, which blocks a scheduled run.
        context.load_cert_chain(file, key, password or "")
    except (OSError, ValueError):
        raise UsageError(
            f"{shown}: client certificate: it does not belong to its key, or the key cannot be"
            f" opened {_with(password)}"
        ) from None


def _with(password: str | None) -> str:
    if password is None:
        return "without a password: set client_key_password_file"
    return "with the password that is set"
