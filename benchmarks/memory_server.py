"""A FHIR server that answers from memory, in a process of its own: what the program alone costs.

It knows the searches that scheduled runs make, and transactions of PUT entries; no history.
"""

import json
import multiprocessing
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

_TYPES = (
    *("Patient", "Observation", "Procedure", "Condition", "AdverseEvent"),
    *("QuestionnaireResponse", "Provenance", "Device"),
)
_PARAMETERS = ("_id", "_lastUpdated", "code", "patient", "subject", "identifier", "link", "target")
_ENCODE = msgspec.json.Encoder(decimal_format="number").encode


def _statement() -> bytes:
    resource = {
        "interaction": [{"code": one} for one in ("read", "search-type", "update")],
        "searchParam": [{"name": one} for one in _PARAMETERS],
        "updateCreate": True,
    }
    rest = {
        "mode": "server",
        "resource": [{"type": kind, **resource} for kind in _TYPES],
        "interaction": [{"code": "transaction"}],
    }
    statement = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]}
    return json.dumps(statement).encode()


class _Store:
    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.stamps: dict[str, str] = {}
        self.versions: dict[str, int] = defaultdict(int)
        self.of_patient: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.by_identifier: dict[str, str] = {}
        self.indexes: set[str] = set()
        self.latest: dict[str, list[tuple[str, str]]] = defaultdict(list)

    def put(self, resource: dict[str, Any]) -> None:
        kind, name = resource["resourceType"], f"{resource['resourceType']}/{resource['id']}"
        self.versions[name] += 1
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        resource["meta"] = {
            **resource.get("meta", {}),
            "versionId": str(self.versions[name]),
            "lastUpdated": stamp,
        }
        self.content[name] = _ENCODE(resource)
        self.stamps[name] = stamp
        self.latest[kind].append((stamp, name))
        subject = resource.get("subject", {}).get("reference", "").removeprefix("Patient/")
        self.of_patient[kind, subject].add(name)
        if kind == "Procedure" and '"55873"' in str(self.content[name]):
            self.indexes.add(name)
        for identifier in resource.get("identifier", ()) if kind == "Observation" else ():
            self.by_identifier[f"{identifier['system']}|{identifier['value']}"] = name

    def search(self, kind: str, params: dict[str, str]) -> Iterable[str]:
        if "_lastUpdated" in params:
            since = datetime.fromisoformat(params["_lastUpdated"].removeprefix("ge"))
            found: dict[str, None] = {}
            for stamp, name in reversed(self.latest[kind]):
                if datetime.fromisoformat(stamp) < since:
                    break
                if '"derived-endpoint"' not in str(self.content[name]):
                    found[name] = None
            return found
        if "_id" in params:
            names = (f"{kind}/{one}" for one in params["_id"].split(","))
            return [name for name in names if name in self.content]
        if "identifier" in params:
            tokens = params["identifier"].split(",")
            if tokens[0].endswith("|"):
                return [one for token, one in self.by_identifier.items() if tokens[0] in token]
            return [self.by_identifier[one] for one in tokens if one in self.by_identifier]
        patients = params.get("patient") or params.get("subject")
        if patients:
            ids = [one.removeprefix("Patient/") for one in patients.split(",")]
            names = [name for one in ids for name in self.of_patient[kind, one]]
            return [one for one in names if '"derived-endpoint"' not in str(self.content[one])]
        if "code" in params and kind == "Procedure":
            return self.indexes
        if "link" in params or "code" in params:
            return []
        return [name for _, name in self.latest[kind][:1]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    store: _Store
    statement: bytes

    def do_GET(self) -> None:
        path = urlsplit(self.path).path.removeprefix("/fhir/")
        if path == "metadata":
            self._send(200, self.statement)
        elif path in self.store.content:
            self._send(200, self.store.content[path])
        else:
            self._send(404, b'{"resourceType":"OperationOutcome"}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path.removeprefix("/fhir").strip("/")
        if path.endswith("/_search"):
            params = {key: values[0] for key, values in parse_qs(body.decode()).items()}
            names = list(self.store.search(path.partition("/")[0], params))
            matches = b",".join(b'{"resource":%b}' % self.store.content[one] for one in names)
            head = b'{"resourceType":"Bundle","type":"searchset","total":%d,"entry":[' % len(names)
            self._send(200, head + matches + b"]}")
            return
        for entry in json.loads(body).get("entry", ()):
            self.store.put(entry["resource"])
        self._send(200, b'{"resourceType":"Bundle","type":"transaction-response"}')

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.store.put(json.loads(body))
        self._send(200, b"{}")

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _serve(connection: Any) -> None:
    handler = type("Handler", (_Handler,), {"store": _Store(), "statement": _statement()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    connection.send(server.server_port)
    server.serve_forever()


@contextmanager
def memory_server() -> Iterator[str]:
    """A server while the block runs; its base URL."""
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{mine.recv()}/fhir"
    finally:
        process.terminate()
        process.join()
