"""A hospital's server as signing in sees it: a token endpoint and a FHIR base, on loopback.

What real ones do is tested on Keycloak and HAPI (tests/server); here is what those cannot be made
to do: odd answers, other origins, refusals in others' words.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet

STATEMENT = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": []}


@dataclass
class Seen:
    """A request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))

    @property
    def token(self) -> str:
        return str(self.headers.get("Authorization") or "").removeprefix("Bearer ")


@dataclass
class Reply:
    """What goes back; ``content`` as JSON, where it is not bytes."""

    status: int = 200
    content: Any = b""
    headers: dict[str, str] = field(default_factory=dict)


class Stub:
    """A server whose paths are functions; others are 404. ``seen``: all that it was asked."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.seen: list[Seen] = []
        self.routes: dict[str, Callable[[Seen], Reply]] = {}
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                seen = Seen(self.command, self.path, self.headers, body)
                stub.seen.append(seen)
                route = stub.routes.get(urlsplit(self.path).path, lambda _: Reply(404))
                reply = route(seen)
                content = reply.content
                if not isinstance(content, bytes):
                    content = json.dumps(content).encode()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in reply.headers:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                try:
                    self.wfile.write(content)
                except ConnectionError:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815

            def date_time_string(self, timestamp: float | None = None) -> str:
                return stub.date or super().date_time_string(timestamp)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        #: What the Date header says; empty: the time.
        self.date = ""
        self.server = ThreadingHTTPServer((host, 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # who breaks off is what is tested
        self.origin = f"http://{host}:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def asked(self, path: str) -> list[Seen]:
        """The requests of a path."""
        return [one for one in self.seen if urlsplit(one.path).path == path]


class Hospital(Stub):
    """FHIR at ``/fhir`` for whoever has a token of ``/token``.

    ``jwks``: the public keys that are registered; None: proofs are not looked at. ``lasts``: what
    tokens say, and do. ``refusal``: instead of a token. ``accepted``: tokens that are good.
    """

    def __init__(self) -> None:
        super().__init__()
        self.base = f"{self.origin}/fhir"
        self.token_url = f"{self.origin}/token"
        self.jwks: list[dict[str, Any]] | None = None
        self.assertions: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.granted: dict[str, Any] = {"token_type": "bearer", "expires_in": 300}
        self.refusal: Reply | None = None
        self.configuration: dict[str, Any] = {"token_endpoint": self.token_url}
        self.accepted: set[str] = set()
        self.given = 0
        self._lock = threading.Lock()
        self.routes |= {
            "/token": self._token,
            "/fhir/.well-known/smart-configuration": lambda _: Reply(content=self.configuration),
            "/fhir/metadata": self.guarded(lambda _: Reply(content=STATEMENT)),
        }

    def guarded(self, route: Callable[[Seen], Reply]) -> Callable[[Seen], Reply]:
        """A route for whoever has a token that is accepted."""

        def checked(seen: Seen) -> Reply:
            if seen.token not in self.accepted:
                return Reply(401, b"", {"WWW-Authenticate": 'Bearer error="invalid_token"'})
            return route(seen)

        return checked

    def _token(self, seen: Seen) -> Reply:
        if self.refusal is not None:
            return self.refusal
        if self.jwks is not None:
            keys = KeySet.import_key_set({"keys": self.jwks})
            decoded = jwt.decode(seen.form["client_assertion"], keys, algorithms=["RS384", "ES384"])
            self.assertions.append((decoded.header, decoded.claims))
        with self._lock:
            self.given += 1
            token = f"the-secret-token-{self.given}"
            self.accepted.add(token)
        return Reply(content={"access_token": token, **self.granted})


def refusal(error: str, description: str = "", status: int = 400) -> Reply:
    """A refusal of a token endpoint."""
    return Reply(status, {"error": error, "error_description": description})
