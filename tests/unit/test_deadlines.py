"""A response arrives within its deadline as a whole, however slowly its bytes drip."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fhircryo.errors import SourceError
from fhircryo.fhir.bulk.download import Downloader
from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.client import UnreachableError
from fhircryo.fhir.connect import open_client
from fhircryo.settings import ServerSettings
from tests.unit.hospital import STATEMENT, Reply, Stub
from tests.unit.vendor_servers import as_json

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\n"
BODY = as_json(STATEMENT)
SECONDS = 0.3


@contextmanager
def dripping(at_once: bytes, drips: bytes, pause: float = 0.02) -> Iterator[str]:
    """A server that sends some bytes at once and the others one by one; yields its base URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def serve() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        try:
            with connection:
                connection.recv(65536)
                connection.sendall(at_once)
                for number in range(len(drips)):
                    if stopped.wait(pause):
                        return
                    connection.sendall(drips[number : number + 1])
        except OSError:
            return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/fhir"
    finally:
        stopped.set()
        listener.close()


def _length(content: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(content)


def _chunks(content: bytes) -> bytes:
    parts = (b"%x\r\n%s\r\n" % (1, content[n : n + 1]) for n in range(len(content)))
    return b"".join(parts) + b"0\r\n\r\n"


PACKED = gzip.compress(BODY * 20)


@pytest.mark.parametrize(
    ("at_once", "drips"),
    [
        (b"", HEAD + _length(BODY) + BODY),
        (HEAD, b"X-A: 1\r\n" * 20 + _length(BODY) + BODY),
        (HEAD + _length(BODY), BODY),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", _chunks(BODY)),
        (HEAD + b"\r\n", BODY),
        (HEAD + b"Content-Encoding: gzip\r\n" + _length(PACKED), PACKED),
        (b"HTTP/1.1 500 No\r\n" + _length(b"x" * 900), b"x" * 900),
        (b"HTTP/1.1 302 No\r\nLocation: /fhir/other\r\n" + _length(b"x" * 900), b"x" * 900),
    ],
    ids=["status", "headers", "length", "chunked", "close", "gzip", "refusal", "redirect"],
)
def test_a_drip_ends_in_an_error(at_once, drips):
    """No byte is late, and still the whole is."""
    settings = ServerSettings(request_deadline=SECONDS, retry_budget=0.0, read_timeout=5.0)
    started = time.monotonic()
    with (
        dripping(at_once, drips) as base,
        open_client(base, settings) as client,
        pytest.raises(SourceError, match=r"within 0\.3 s \(setting request_deadline\)") as caught,
    ):
        capabilities(client)
    assert time.monotonic() - started < 10 * SECONDS
    assert isinstance(caught.value, UnreachableError)


def test_a_slow_response_within_the_deadline():
    """Slow is not too slow."""
    settings = ServerSettings(request_deadline=30.0)
    head = HEAD + _length(BODY)
    with dripping(head, BODY, 0.001) as base, open_client(base, settings) as client:
        assert capabilities(client).fhir_version == "4.0.1"


def test_the_deadline_is_that_of_each_response():
    """A connection that is used again is not late because of the request before."""
    settings = ServerSettings(request_deadline=SECONDS)
    with Stub() as stub:
        stub.routes["/fhir/metadata"] = lambda _: Reply(content=STATEMENT)
        with open_client(f"{stub.origin}/fhir", settings) as client:
            capabilities(client)
            time.sleep(1.5 * SECONDS)
            assert capabilities(client).fhir_version == "4.0.1"


def test_a_dripping_file_of_an_export(tmp_path: Path):
    """A file may be large: its deadline starts again with every megabyte, not with every byte."""
    settings = ServerSettings(request_deadline=SECONDS, retry_budget=30.0)
    head = b'HTTP/1.1 200 OK\r\nETag: "1"\r\n' + _length(b"x" * 900)
    with (
        dripping(head, b"x" * 900) as base,
        open_client(base, settings) as client,
        pytest.raises(SourceError, match="setting request_deadline"),
    ):
        Downloader(client, with_token=False).fetch(f"{base}/file", tmp_path / "file", lambda: False)


def test_a_large_file_outlasts_the_deadline(tmp_path: Path):
    """Megabytes that keep coming are no drip."""
    settings = ServerSettings(request_deadline=SECONDS, retry_budget=0.0)
    megabyte = b"x" * (1 << 20)

    with Stub() as stub:
        sent = megabyte * 6

        def slowly(_: object) -> Reply:
            return Reply(content=sent)

        stub.routes["/fhir/file"] = slowly
        with open_client(f"{stub.origin}/fhir", settings) as client:
            seen = []

            def pause() -> bool:
                time.sleep(SECONDS / 3)
                seen.append(1)
                return False

            url = f"{stub.origin}/fhir/file"
            path = Downloader(client, with_token=False).fetch(url, tmp_path / "file", pause)
    assert path.read_bytes() == sent
    assert len(seen) >= 6


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "compress"])
def test_an_encoding_that_was_not_requested(encoding):
    """The error names it, instead of calling the bytes no FHIR."""
    with Stub() as stub:
        reply = Reply(content=b"\x0b\x02\x80abc\x03", headers={"Content-Encoding": encoding})
        stub.routes["/fhir/metadata"] = lambda _: reply
        with open_client(f"{stub.origin}/fhir", ServerSettings()) as client:
            name = encoding.split(", ")[-1]
            with pytest.raises(SourceError, match=f"compressed as '{name}'"):
                capabilities(client)
        assert [one.headers["Accept-Encoding"] for one in stub.seen] == ["gzip, deflate"]
