"""A server that exports, and does what real ones cannot be made to do on demand."""

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from fhircryo.fhir.wire import DECODERS
from tests.unit.inputs import Resource, lines

TIME = "2026-11-01T03:00:00Z"


@dataclass
class Seen:
    """A request that came in."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


@dataclass
class BulkServer:
    """``files``: type to content, as it is sent. The rest: how it misbehaves.

    ``pending``: how often it says 202; ``refuses``: parameters or types that it does not take;
    ``broken``: how often a file breaks off in its middle; ``gone``: how often files are 404.
    ``medications``: by id, what a search by ids finds; ``medication_status``: how it answers one.
    """

    files: dict[str, bytes]
    pending: int = 1
    retry_after: str | None = "0"
    requires_token: bool | None = None
    token: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    deleted: bytes = b""
    errors: bytes = b""
    refuses: tuple[str, ...] = ()
    broken: int = 0
    etag: str | None = '"1"'
    gone: int = 0
    lost: int = 0
    encoded: bool = False
    types: dict[str, str] = field(default_factory=dict)
    elsewhere: str = ""
    on_poll: Callable[[], None] = lambda: None
    medications: dict[str, Resource] = field(default_factory=dict)
    medication_status: Callable[[list[str]], int] = lambda _: 404
    medication_searches: list[list[str]] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    exports: int = 0

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"bulk": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.origin}/fhir"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self, path: str, method: str = "GET") -> list[Seen]:
        """The requests of a path that begins like this."""
        return [one for one in self.seen if one.path.startswith(path) and one.method == method]

    def manifest(self) -> Resource:
        """As it stands when the export is done."""
        where = self.elsewhere or self.url

        def entry(name: str, kind: str) -> Resource:
            made: Resource = {"type": self.types.get(kind, kind), "url": f"{where}/file/{name}"}
            if kind in self.counts:
                made["count"] = self.counts[kind]
            return made

        found: Resource = {
            "transactionTime": TIME,
            "request": f"{self.url}/$export",
            "output": [entry(kind, kind) for kind in self.files],
            "deleted": [entry("deleted", "Bundle")] if self.deleted else [],
            "error": [entry("errors", "OperationOutcome")] if self.errors else [],
        }
        if self.requires_token is not None:
            found["requiresAccessToken"] = self.requires_token
        return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bulk: BulkServer

    def _any(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = int(headers.get("content-length") or 0)
        body = self.rfile.read(length).decode()
        path = parts.path.removeprefix("/fhir")
        seen = Seen(self.command, path, parse_qs(parts.query), headers)
        self.bulk.seen.append(seen)
        token = self.bulk.token
        is_file = path.startswith("/file/")
        free = is_file and self.bulk.requires_token is False
        if token and not free and headers.get("authorization") != f"Bearer {token}":
            self._json(401, {"resourceType": "OperationOutcome"})
        elif path == "/metadata":
            self._json(200, _statement())
        elif path.endswith("$export"):
            self._kick_off(seen)
        elif path.startswith("/status/"):
            self._status()
        elif path.removesuffix("/_search") == "/Medication":
            self._medications(seen.query or parse_qs(body))
        elif is_file:
            self._file(path.removeprefix("/file/"), headers)
        else:
            self._json(404, {"resourceType": "OperationOutcome"})

    do_GET = _any  # noqa: N815
    do_POST = _any  # noqa: N815
    do_DELETE = _any  # noqa: N815

    def _kick_off(self, seen: Seen) -> None:
        said = json.dumps(seen.query)
        if any(word in said for word in self.bulk.refuses):
            self._json(400, {"resourceType": "OperationOutcome"})
            return
        self.bulk.exports += 1
        place = f"{self.bulk.url}/status/{self.bulk.exports}"
        self._send(202, b"", {"Content-Location": place})

    def _medications(self, query: dict[str, list[str]]) -> None:
        ids = query["_id"][0].split(",")
        self.bulk.medication_searches.append(ids)
        status = self.bulk.medication_status(ids)
        if status != 200:
            self._json(status, {"resourceType": "OperationOutcome"})
            return
        found = [self.bulk.medications[one] for one in ids if one in self.bulk.medications]
        entries = [{"resource": one} for one in found]
        self._json(200, {"resourceType": "Bundle", "type": "searchset", "entry": entries})

    def _status(self) -> None:
        if self.command == "DELETE":
            self._send(202, b"", {})
            return
        self.bulk.on_poll()
        if self.bulk.lost:
            self.bulk.lost -= 1
            self._json(404, {"resourceType": "OperationOutcome"})
        elif self.bulk.pending:
            self.bulk.pending -= 1
            headers = {"X-Progress": "half \x1b[31mdone"}
            if self.bulk.retry_after is not None:
                headers["Retry-After"] = self.bulk.retry_after
            self._send(202, b"", headers)
        else:
            self._json(200, self.bulk.manifest())

    def _file(self, name: str, headers: dict[str, str]) -> None:
        if self.bulk.gone:
            self.bulk.gone -= 1
            self._json(404, {"resourceType": "OperationOutcome"})
            return
        extra = {"deleted": self.bulk.deleted, "errors": self.bulk.errors}
        content = extra[name] if name in extra else self.bulk.files[name]
        told = {"Content-Type": "application/fhir+ndjson"}
        if self.bulk.encoded:
            content = gzip.compress(content)
            told["Content-Encoding"] = "gzip"
        status = 200
        if self.bulk.etag is not None:
            told["ETag"] = self.bulk.etag
            wanted = headers.get("range")
            if wanted and headers.get("if-range") == self.bulk.etag:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                told["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                content, status = content[start:], 206
        if self.bulk.broken:
            self.bulk.broken -= 1
            self._send(status, content[: len(content) // 2], told, length=len(content))
            self.close_connection = True
            return
        self._send(status, content, told)

    def _json(self, status: int, content: Any) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(
        self, status: int, content: bytes, headers: dict[str, str], length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _statement() -> Resource:
    resources = [{"type": kind, "searchParam": []} for kind in DECODERS]
    rest = [{"mode": "server", "resource": resources}]
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest}


def files_of(resources: list[Resource]) -> dict[str, bytes]:
    """Resources as an export's files, a type each."""
    kinds = dict.fromkeys(one["resourceType"] for one in resources)
    return {
        kind: lines(*(one for one in resources if one["resourceType"] == kind)) for kind in kinds
    }
