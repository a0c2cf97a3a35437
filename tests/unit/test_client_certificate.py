"""Mutual TLS: certificates from PEM and PKCS#12; the key is never written where others can read."""

import http.server
import json
import ssl
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from fhircryo.errors import SourceError, UsageError
from fhircryo.fhir import tls
from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.connect import open_client
from fhircryo.settings import ServerSettings
from tests.unit.hospital import STATEMENT

PASSWORD = "open-sesame-88"


class Made:
    """A key and its certificate, of ``authority`` or of itself."""

    def __init__(self, name: str, authority: "Made | None" = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = authority.certificate.subject if authority else subject
        now = datetime.now(UTC)
        names: list[x509.GeneralName] = [
            x509.DNSName("localhost"),
            x509.IPAddress(ip_address("127.0.0.1")),
        ]
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(authority is None, None), critical=True)
            .sign((authority or self).key, hashes.SHA256())
        )
        self.pem = self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, password: str | None = None) -> bytes:
        how = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


@pytest.fixture(scope="module")
def authority() -> Made:
    return Made("authority")


@pytest.fixture(scope="module")
def us(authority: Made) -> Made:
    return Made("fhircryo", authority)


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        subject = dict(pair[0] for pair in self.connection.getpeercert()["subject"])
        content = json.dumps({**STATEMENT, "fhirVersion": f"4.0.{subject['commonName']}"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url(authority: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that lets in who has a certificate of the authority."""
    folder = tmp_path_factory.mktemp("server")
    made = Made("server", authority)
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "server.pem").write_bytes(made.pem + made.key_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # a handshake that fails is what is tested
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}/fhir"
    server.shutdown()
    server.server_close()


@pytest.fixture
def files(authority: Made, us: Made, tmp_path: Path) -> Path:
    """The same certificate in every shape."""
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "cert.pem").write_bytes(us.pem)
    (tmp_path / "key.pem").write_bytes(us.key_pem())
    (tmp_path / "locked.pem").write_bytes(us.key_pem(PASSWORD))
    (tmp_path / "both.pem").write_bytes(us.pem + us.key_pem())
    for name, password in (("us.p12", PASSWORD), ("open.p12", None)):
        how = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        made = pkcs12.serialize_key_and_certificates(
            b"us", us.key, us.certificate, [authority.certificate], how
        )
        (tmp_path / name).write_bytes(made)
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    return tmp_path


def version(url: str, files: Path, **settings: Any) -> str:
    placed = {
        name: files / value if name in ("client_certificate", "client_key") else value
        for name, value in settings.items()
    }
    quick = {"retry_budget": 0.0, "connect_timeout": 5.0, "ca_bundle": files / "ca.pem"}
    with open_client(url, ServerSettings(**{**quick, **placed})) as client:
        return capabilities(client).fhir_version


WITH_PASSWORD = {"client_key_password_env": "KEY_PASSWORD"}
SHAPES = {
    "PEM and key": {"client_certificate": "cert.pem", "client_key": "key.pem"},
    "PEM with key": {"client_certificate": "both.pem"},
    "PEM and locked key": {
        "client_certificate": "cert.pem",
        "client_key": "locked.pem",
        **WITH_PASSWORD,
    },
    "PKCS#12": {"client_certificate": "us.p12", **WITH_PASSWORD},
    "PKCS#12 without a password": {"client_certificate": "open.p12"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_lets_us_in(shape, url, files, monkeypatch):
    monkeypatch.setenv("KEY_PASSWORD", PASSWORD)
    assert version(url, files, **SHAPES[shape]) == "4.0.fhircryo"


def test_without_one_there_is_no_way_in(url, files):
    with pytest.raises(SourceError):
        version(url, files)


def test_the_servers_certificate_is_looked_at_all_the_same(url, files):
    with pytest.raises(SourceError, match=r"TLS failed.*ca_bundle"):
        version(url, files, client_certificate="both.pem", ca_bundle=None)


WRONG = {
    "no such file": {"client_certificate": "nowhere.pem"},
    "contains no key; set client_key": {"client_certificate": "cert.pem"},
    "does not belong to its key": {"client_certificate": "ca.pem", "client_key": "key.pem"},
    "key cannot be opened without a password": {
        "client_certificate": "cert.pem",
        "client_key": "locked.pem",
    },
    "file that can be opened without a password": {"client_certificate": "us.p12"},
    "opened with the password that is set": {
        "client_certificate": "us.p12",
        "client_key_password_env": "BAD",
    },
    "contains its key": {"client_certificate": "us.p12", "client_key": "key.pem"},
    "but no client_certificate": {"client_key": "key.pem"},
}


@pytest.mark.parametrize("words", WRONG)
def test_what_does_not_fit_is_told(words, url, files, monkeypatch):
    monkeypatch.setenv("BAD", "wrong-password-7")
    with pytest.raises(UsageError, match=words) as caught:
        version(url, files, **WRONG[words])
    assert "wrong-password-7" not in str(caught.value)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_key_that_others_can_use_is_refused(shape, url, files, monkeypatch):
    monkeypatch.setenv("KEY_PASSWORD", PASSWORD)
    settings = SHAPES[shape]
    path = files / str(settings.get("client_key") or settings["client_certificate"])
    path.chmod(0o640)
    with pytest.raises(UsageError, match=f"mode 0640.*chmod 600 {path}"):
        version(url, files, **settings)


def test_the_key_of_pkcs12_is_never_written_unencrypted(url, files, us, monkeypatch, tmp_path):
    """What OpenSSL reads is encrypted, in a folder and a file of ours only, and gone at once."""
    monkeypatch.setenv("KEY_PASSWORD", PASSWORD)
    passing = tmp_path / "passing"
    passing.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(passing))
    seen: list[tuple[bytes, int, int]] = []
    load = tls._load

    def looked_at(context: Any, file: Path, *args: Any) -> None:
        modes = file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777
        seen.append((file.read_bytes(), *modes))
        load(context, file, *args)

    monkeypatch.setattr(tls, "_load", looked_at)
    assert version(url, files, **SHAPES["PKCS#12"]) == "4.0.fhircryo"
    ((content, mode, folder_mode),) = seen
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in content
    assert b"BEGIN PRIVATE KEY" not in content
    assert us.key_pem().splitlines()[1] not in content
    assert (mode, folder_mode) == (0o600, 0o700)
    assert list(passing.iterdir()) == []
