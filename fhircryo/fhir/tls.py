"""A client certificate and its key, from PEM or PKCS#12 files, for mutual TLS."""

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
    """What TLS needs to show a client certificate.

    ``certificate``: PEM, with its key or the key in ``key``; or PKCS#12, which has all in it.
    ``password``: that of the key or of the PKCS#12 file.

    Raises:
        UsageError: a file cannot be read, others can read the key too, or they do not fit.
    """
    if password is not None:
        keep_secret(password)
    content = _read(certificate)
    context = create_urllib3_context()
    if _PEM not in content:
        if key is not None:
            raise UsageError(
                f"{certificate}: client certificate: PKCS#12 has its key in it, and client_key is"
                " set as well; remove it"
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
        raise UsageError(f"{certificate}: client certificate: no key in it; set client_key")
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
            f"{path}: client certificate: neither PEM, nor PKCS#12 that opens {_with(password)}"
        ) from None
    if bundle.key is None or bundle.cert is None:
        raise UsageError(f"{path}: client certificate: no certificate with its key in it")
    # OpenSSL takes keys from files only: this one is encrypted, in a folder of ours, and short of
    # life; its password stands nowhere.
    passing = secrets.token_urlsafe(32)
    chain = [bundle.cert.certificate, *(one.certificate for one in bundle.additional_certs)]
    pem = b"".join(_pem(one) for one in chain) + bundle.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passing.encode())
    )
    with tempfile.TemporaryDirectory(prefix="fhircryo-") as folder:
        file = Path(folder, "client.pem")
        file.touch(mode=0o600)
        file.write_bytes(pem)
        _load(context, file, None, passing, path)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _load(
    context: ssl.SSLContext, file: Path, key: Path | None, password: str | None, named: Path
) -> None:
    try:
        # Without a password OpenSSL would ask for one, where nobody is.
        context.load_cert_chain(file, key, password or "")
    except (OSError, ValueError):
        raise UsageError(
            f"{named}: client certificate: it does not fit its key, or the key does not open"
            f" {_with(password)}"
        ) from None


def _with(password: str | None) -> str:
    return (
        "without a password: set client_key_password_file" if password is None else "with this one"
    )
