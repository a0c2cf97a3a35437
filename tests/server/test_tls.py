"""TLS: an unknown authority is refused; known, or told not to look, it is read."""

import http.server
import logging
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhircryo.errors import SourceError
from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.connect import open_client
from fhircryo.settings import ServerSettings

STATEMENT = b'{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[]}'


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(STATEMENT)))
        self.end_headers()
        self.wfile.write(STATEMENT)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not there, so TLS was not tested: install openssl")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem"


@pytest.fixture
def url(certificate: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("localhost", 0), Metadata)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"https://localhost:{server.server_port}/fhir"
    server.shutdown()
    server.server_close()


def version(url: str, **settings: object) -> str:
    with open_client(url, ServerSettings(**settings)) as client:
        return capabilities(client).fhir_version


def test_an_unknown_authority_is_refused_at_once(url):
    with pytest.raises(SourceError, match=r"TLS failed.*ca_bundle") as caught:
        version(url)
    assert caught.value.exit_code == 3


def test_a_known_authority_is_taken(url, certificate):
    assert version(url, ca_bundle=certificate) == "4.0.1"


def test_a_bundle_in_the_environment_does_not_undo_the_setting(url, certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    assert version(url, ca_bundle=certificate) == "4.0.1"


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_not_looking_is_told_in_every_run(url, caplog):
    with caplog.at_level(logging.WARNING, "fhircryo"):
        assert version(url, verify_tls=False) == "4.0.1"
        assert version(url, verify_tls=False) == "4.0.1"
    assert sum("NOT verified" in record.message for record in caplog.records) == 2
