"""A proxy between client and server that misbehaves as it is told, and remembers what it was asked.

    with FaultProxy(hapi.url, Unavailable(times=2), NextRelative()) as proxy:
        compute(proxy.url, ...)
    assert proxy.requests[0].status == 503

Faults apply in their order: the first that answers by itself answers; those that change an answer
change it one after another. Each has ``when`` (which requests; all), ``skip`` (how many of those
pass first) and ``times`` (how many are hit then; None: all that follow).
"""

import email.utils
import http.client
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

_FHIR_JSON = "application/fhir+json"
_UPSTREAM_TIMEOUT = 300.0
#: Headers that speak of one connection only, or that are made anew.
_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "date"}
)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


@dataclass
class Asked:
    """A request as it came in, and the status that it was answered with (0: none).

    ``path`` is below the FHIR base (``/Observation/_search``); ``params``: query and form together.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    status: int = 0

    @property
    def params(self) -> list[tuple[str, str]]:
        """Query and form, decoded."""
        pairs = parse_qsl(self.query, keep_blank_values=True)
        if self.header("content-type").startswith("application/x-www-form-urlencoded"):
            pairs += parse_qsl(self.body.decode(), keep_blank_values=True)
        return pairs

    def param(self, name: str) -> list[str]:
        """The values of a search parameter, modifiers (``code:in``) aside."""
        return [value for key, value in self.params if key.partition(":")[0] == name]

    def header(self, name: str) -> str:
        """A header; empty where there is none."""
        return self.headers.get(name.lower(), "")

    @property
    def kind(self) -> str:
        """The type that is asked for: ``Observation``; empty for the base."""
        return self.path.strip("/").split("/")[0]


@dataclass
class Answer:
    """What goes back. ``cut``: the share of the body that is sent before the connection closes.

    ``pause``: seconds between ``chunks`` parts of the body; ``reset``: nothing but a reset.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: float | None = None
    pause: float = 0.0
    chunks: int = 1
    reset: bool = False

    def json(self) -> Any:
        """The body, numbers as Decimal; None where it is no JSON."""
        try:
            return json.loads(self.body, parse_float=Decimal)
        except ValueError:
            return None

    def set_json(self, content: Any) -> None:
        """Another body."""
        self.body = _ENCODER.encode(content)


When = Callable[[Asked], bool]


def always(_: Asked) -> bool:
    """Every request."""
    return True


def searches(asked: Asked) -> bool:
    """First pages of searches, by GET or POST."""
    by_post = asked.method == "POST" and asked.path.endswith("/_search")
    by_get = asked.method == "GET" and re.fullmatch(r"/[A-Z]\w+", asked.path) is not None
    return (by_post or by_get) and not next_pages(asked)


def next_pages(asked: Asked) -> bool:
    """Pages after the first, as HAPI and this proxy name them."""
    return any(name in ("_getpages", "_again") for name, _ in asked.params)


def pages(asked: Asked) -> bool:
    """First and next pages."""
    return searches(asked) or next_pages(asked)


def of_kind(kind: str) -> When:
    """Requests for a type."""
    return lambda asked: asked.kind == kind


def of_method(*methods: str) -> When:
    """Requests by a method."""
    return lambda asked: asked.method in methods


def both(*conditions: When) -> When:
    """All of the conditions."""
    return lambda asked: all(condition(asked) for condition in conditions)


def outcome(status: int, text: str, **headers: str) -> Answer:
    """An OperationOutcome."""
    issue = {"severity": "error", "code": "processing", "diagnostics": text}
    body = {"resourceType": "OperationOutcome", "issue": [issue]}
    fields = {"Content-Type": _FHIR_JSON} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return Answer(status, fields, _ENCODER.encode(body))


class Fault:
    """One way to misbehave; by itself it does nothing (lets all pass)."""

    def __init__(self, *, when: When = always, skip: int = 0, times: int | None = None) -> None:
        self._when = when
        self._skip = skip
        self._times = times
        self._lock = threading.Lock()
        #: How often it has hit.
        self.hits = 0

    def hit(self, asked: Asked) -> bool:
        """Whether this request is one to be hit; it counts."""
        if not self._when(asked):
            return False
        with self._lock:
            if self._skip:
                self._skip -= 1
                return False
            if self._times is not None and self.hits >= self._times:
                return False
            self.hits += 1
            return True

    def instead(self, asked: Asked, base: str) -> Answer | None:
        """An answer without the server, or None."""
        return None

    def change(self, asked: Asked, answer: Answer, base: str) -> None:
        """Change the answer of the server; ``base`` is the proxy's own FHIR base."""


Pass = Fault


class Refuse(Fault):
    """A refusal with an OperationOutcome."""

    def __init__(self, status: int, *, text: str = "not supported here", **how: Any) -> None:
        super().__init__(**how)
        self._status = status
        self._text = text

    def instead(self, asked: Asked, base: str) -> Answer | None:
        return outcome(self._status, self._text) if self.hit(asked) else None


class NoPostSearch(Refuse):
    """POST _search is refused: 405, or 404, 403, 415."""

    def __init__(self, status: int = 405, **how: Any) -> None:
        super().__init__(status, when=lambda asked: asked.path.endswith("/_search"), **how)


class NoSearchBy(Refuse):
    """A type cannot be searched by a parameter, as ``Procedure?code=`` at Epic and Cerner."""

    def __init__(self, kind: str, param: str, status: int = 400, **how: Any) -> None:
        text = f"{kind}: unsupported search parameter {param}"
        super().__init__(
            status,
            text=text,
            when=lambda asked: asked.kind == kind and bool(asked.param(param)),
            **how,
        )


class NoSearchWithoutPatient(Refuse):
    """A type is searched only by patient (or by its own id), as in Epic's and Cerner's."""

    def __init__(self, *kinds: str, status: int = 400, **how: Any) -> None:
        def when(asked: Asked) -> bool:
            by = ("patient", "subject", "_id")
            named = any(asked.param(name) for name in by)
            return searches(asked) and not named and (asked.kind in kinds or not kinds)

        super().__init__(status, text="one of patient, subject, _id is required", when=when, **how)


class NoLists(Refuse):
    """Several patients in one search (``patient=a,b``) are refused."""

    def __init__(self, *params: str, status: int = 400, **how: Any) -> None:
        names = params or ("patient", "subject")

        def when(asked: Asked) -> bool:
            return any("," in value for name in names for value in asked.param(name))

        super().__init__(status, text="one patient at a time", when=when, **how)


class NoType(Refuse):
    """A type that the server does not have (404) or does not give (403)."""

    def __init__(self, kind: str, status: int = 404, **how: Any) -> None:
        super().__init__(status, text=f"{kind} is not for you", when=of_kind(kind), **how)


class Unavailable(Fault):
    """503 or 429, with Retry-After in seconds, or as a date, or without."""

    def __init__(
        self,
        status: int = 503,
        *,
        retry_after: float | None = 0,
        as_date: bool = False,
        times: int | None = 1,
        **how: Any,
    ) -> None:
        super().__init__(times=times, **how)
        self._status = status
        self._retry_after = retry_after
        self._as_date = as_date

    def instead(self, asked: Asked, base: str) -> Answer | None:
        if not self.hit(asked):
            return None
        answer = outcome(self._status, "busy; try again")
        if self._retry_after is not None:
            when = email.utils.formatdate(time.time() + self._retry_after, usegmt=True)
            answer.headers["Retry-After"] = when if self._as_date else f"{self._retry_after:.0f}"
        return answer


class Bearer(Fault):
    """401 unless the request carries one of the tokens; ``accept`` can be changed meanwhile."""

    def __init__(self, *tokens: str, **how: Any) -> None:
        super().__init__(**how)
        self.accept = set(tokens)

    def instead(self, asked: Asked, base: str) -> Answer | None:
        scheme, _, token = asked.header("authorization").partition(" ")
        if (scheme.lower() == "bearer" and token in self.accept) or not self.hit(asked):
            return None
        return outcome(401, "no or wrong token", WWW_Authenticate="Bearer")


class Html(Fault):
    """A page of HTML where FHIR should be, as log-in pages and gateways send it."""

    def __init__(self, status: int = 200, **how: Any) -> None:
        super().__init__(**how)
        self._status = status

    def instead(self, asked: Asked, base: str) -> Answer | None:
        page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
        headers = {"Content-Type": "text/html; charset=utf-8"}
        return Answer(self._status, headers, page) if self.hit(asked) else None


class Redirect(Fault):
    """A redirect to another URL, the request's own path and query behind it."""

    def __init__(self, to: str, status: int = 307, **how: Any) -> None:
        super().__init__(**how)
        self._to = to.rstrip("/")
        self._status = status

    def instead(self, asked: Asked, base: str) -> Answer | None:
        if not self.hit(asked):
            return None
        query = f"?{asked.query}" if asked.query else ""
        return Answer(self._status, {"Location": f"{self._to}{asked.path}{query}"})


class Reset(Fault):
    """The connection is reset: ``before`` the server saw the request, or after it has done it."""

    def __init__(self, *, after: bool = False, times: int | None = 1, **how: Any) -> None:
        super().__init__(times=times, **how)
        self._after = after

    def instead(self, asked: Asked, base: str) -> Answer | None:
        return Answer(0, reset=True) if not self._after and self.hit(asked) else None

    def change(self, asked: Asked, answer: Answer, base: str) -> None:
        if self._after and self.hit(asked):
            answer.reset = True


class Truncate(Fault):
    """The connection closes in the middle of the body; ``honest``: its length is said so, too.

    An honest one is whole for HTTP: only its JSON breaks off.
    """

    def __init__(
        self, *, keep: float = 0.5, honest: bool = False, times: int | None = 1, **how: Any
    ) -> None:
        super().__init__(times=times, **how)
        self._keep = keep
        self._honest = honest

    def change(self, asked: Asked, answer: Answer, base: str) -> None:
        if not self.hit(asked):
            return
        if self._honest:
            answer.body = answer.body[: int(len(answer.body) * self._keep)]
        else:
            answer.cut = self._keep


class Slow(Fault):
    """The body comes in ``chunks`` parts with ``pause`` seconds before each."""

    def __init__(self, pause: float, *, chunks: int = 4, **how: Any) -> None:
        super().__init__(**how)
        self._pause = pause
        self._chunks = chunks

    def change(self, asked: Asked, answer: Answer, base: str) -> None:
        if self.hit(asked):
            answer.pause, answer.chunks = self._pause, self._chunks


class Edit(Fault):
    """The JSON of an answer is changed in place, or replaced by what the function gives."""

    def __init__(self, edit: Callable[[Any], Any], **how: Any) -> None:
        super().__init__(**how)
        self._edit = edit

    def change(self, asked: Asked, answer: Answer, base: str) -> None:
        content = answer.json()
        if content is None or not self.hit(asked):
            return
        edited = self._edit(content)
        answer.set_json(content if edited is None else edited)


class Statement(Edit):
    """The CapabilityStatement says something else."""

    def __init__(self, edit: Callable[[Any], Any], **how: Any) -> None:
        super().__init__(edit, when=lambda asked: asked.path == "/metadata", **how)


class DropEntry(Edit):
    """A page comes with an entry less, as when pages shift while others write."""

    def __init__(self, *, position: int = 0, times: int | None = 1, **how: Any) -> None:
        def edit(bundle: Any) -> None:
            if bundle.get("entry"):
                del bundle["entry"][position]

        super().__init__(edit, times=times, **{"when": pages, **how})


class _NextLink(Fault):
    """Something is done to the link to the next page, where there is one."""

    def change(self, asked: Asked, answer: Answer, base: str) -> None:
        bundle = answer.json() if pages(asked) else None
        if not isinstance(bundle, dict):
            return
        for link in bundle.get("link", ()):
            if link.get("relation") == "next" and self.hit(asked):
                link["url"] = self.changed(link["url"], bundle, base)
                answer.set_json(bundle)

    def changed(self, url: str, bundle: Any, base: str) -> str:
        """The link that is given instead."""
        return url


class NextElsewhere(_NextLink):
    """The next link leads to another host (``origin``: ``http://other.example``)."""

    def __init__(self, origin: str, **how: Any) -> None:
        super().__init__(**how)
        self._origin = origin.rstrip("/")

    def changed(self, url: str, bundle: Any, base: str) -> str:
        parts = urlsplit(url)
        return f"{self._origin}{parts.path}?{parts.query}"


class NextRelative(_NextLink):
    """The next link is relative: to the host (``/fhir?...``), or to the FHIR base (``?...``)."""

    def __init__(self, *, to_base: bool = False, **how: Any) -> None:
        super().__init__(**how)
        self._to_base = to_base

    def changed(self, url: str, bundle: Any, base: str) -> str:
        parts = urlsplit(url)
        return f"?{parts.query}" if self._to_base else f"{parts.path}?{parts.query}"


class NextRepeats(_NextLink):
    """A page comes twice: its next link gives the same entries again, then all goes on.

    ``forever``: it never goes on; each page leads to itself.
    """

    def __init__(
        self, *, forever: bool = False, times: int | None = 1, same_link: bool = True, **how: Any
    ) -> None:
        super().__init__(times=None if forever else times, **how)
        self._forever = forever
        self._same_link = same_link
        self._kept: dict[str, tuple[Any, str]] = {}

    def changed(self, url: str, bundle: Any, base: str) -> str:
        key = str(len(self._kept))
        self._kept[key] = (bundle, url)
        return f"{base}?{urlencode({'_again': key})}"

    def instead(self, asked: Asked, base: str) -> Answer | None:
        keys = asked.param("_again")
        if not keys or keys[0] not in self._kept:
            return None
        bundle, onward = self._kept[keys[0]]
        if self._forever:
            # The same link again, or a new one to the same page each time.
            onward = f"{base}?{urlencode({'_again': keys[0]})}"
            if not self._same_link:
                onward += f"&turn={time.monotonic_ns()}"
        others = [link for link in bundle["link"] if link.get("relation") != "next"]
        answer = Answer(200, {"Content-Type": _FHIR_JSON})
        answer.set_json({**bundle, "link": [*others, {"relation": "next", "url": onward}]})
        return answer


class NextExpires(Refuse):
    """The server has forgotten the search: 410 (or 404) on a next page, once or ``times=None``."""

    def __init__(self, status: int = 410, *, times: int | None = 1, **how: Any) -> None:
        super().__init__(status, text="search expired", when=next_pages, times=times, **how)


class _ResetError(Exception):
    """Ends a handler whose connection is gone."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go separately; they must not wait
    proxy: "FaultProxy"

    def handle(self) -> None:
        try:
            super().handle()
        except (_ResetError, ConnectionError):
            self.close_connection = True

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        path = parts.path.removeprefix(self.proxy.base_path)
        headers = {key.lower(): value for key, value in self.headers.items()}
        asked = Asked(self.command, path, parts.query, headers, body)
        self.proxy.requests.append(asked)
        answer = self.proxy.answer(asked)
        if answer.reset:
            self._reset()
        asked.status = answer.status
        self._send(answer)

    do_GET = _any  # noqa: N815
    do_HEAD = _any  # noqa: N815
    do_POST = _any  # noqa: N815
    do_PUT = _any  # noqa: N815
    do_PATCH = _any  # noqa: N815
    do_DELETE = _any  # noqa: N815

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        body = answer.body
        if answer.cut is not None:
            body = body[: int(len(body) * answer.cut)]
            self.close_connection = True
        size = max(1, -(-len(body) // answer.chunks))
        for start in range(0, len(body), size):
            time.sleep(answer.pause)
            self.wfile.write(body[start : start + size])

    def _reset(self) -> None:
        """Close so that the other side sees a reset and no ordinary end."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        for end in (self.rfile, self.wfile, self.connection):
            end.close()
        raise _ResetError

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: ``FaultProxy.requests`` has it all."""


class FaultProxy:
    """In front of ``upstream`` (a FHIR base); ``url`` is the base to use instead.

    ``requests``: all that came in, in order. ``faults`` may be changed while it runs.
    """

    def __init__(self, upstream: str, *faults: Fault) -> None:
        self.upstream = upstream.rstrip("/")
        self.base_path = urlsplit(self.upstream).path
        self.faults: Sequence[Fault] = faults
        self.requests: list[Asked] = []
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{self.base_path}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def asked(self, when: When = always) -> list[Asked]:
        """The requests that meet a condition."""
        return [one for one in list(self.requests) if when(one)]

    def answer(self, asked: Asked) -> Answer:
        """What the faults, or the server and then the faults, say."""
        for fault in self.faults:
            own = fault.instead(asked, self.url)
            if own is not None:
                return own
        answer = self._forward(asked)
        for fault in self.faults:
            fault.change(asked, answer, self.url)
        return answer

    def _forward(self, asked: Asked) -> Answer:
        parts = urlsplit(self.upstream)
        make = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = make(parts.hostname or "", parts.port, timeout=_UPSTREAM_TIMEOUT)
        path = f"{self.base_path}{asked.path}" + (f"?{asked.query}" if asked.query else "")
        passed = {
            name: value
            for name, value in asked.headers.items()
            if name not in _HOP and name not in ("host", "accept-encoding")
        }
        # Told the proxy's host, HAPI makes all its links of it; what does not is rewritten below.
        passed["Host"] = urlsplit(self.url).netloc
        try:
            connection.request(asked.method, path, asked.body or None, passed)
            response = connection.getresponse()
            body = response.read()
        except OSError as error:
            return outcome(502, f"the server behind the proxy: {type(error).__name__}")
        finally:
            connection.close()
        theirs, ours = self.upstream, self.url
        headers = {name: value.replace(theirs, ours) for name, value in response.getheaders()}
        return Answer(response.status, headers, body.replace(theirs.encode(), ours.encode()))
