"""A server that gives recorded pages at once: what is timed against it is the client alone."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

FIRST = ""


class _Replay(BaseHTTPRequestHandler):
    """Gives the page that is asked for; the first where it is a search."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one go
    pages: dict[str, bytes] = {}

    def do_GET(self) -> None:
        body = self.pages.get(self.path, self.pages[FIRST])
        self.send_response(200)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def record(url: str, query: dict[str, str]) -> dict[str, bytes]:
    """The pages of a search for Observations, by what asks for them below the origin."""
    origin = url.removesuffix("/fhir")
    answer = requests.post(f"{url}/Observation/_search", query, timeout=300)
    pages = {FIRST: answer.content}
    while True:
        links = {one["relation"]: one["url"] for one in answer.json()["link"]}
        if "next" not in links:
            return pages
        answer = requests.get(links["next"], timeout=300)
        pages[links["next"].removeprefix(origin)] = answer.content


@contextmanager
def replayed(url: str, pages: dict[str, bytes]) -> Iterator[str]:
    """A server with pages that were recorded at ``url``; the URL to use instead.

    It is a process of its own, so that it does not take turns with the client.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Replay)
    instead = f"http://127.0.0.1:{server.server_port}/fhir"
    _Replay.pages = {
        target: page.replace(url.encode(), instead.encode()) for target, page in pages.items()
    }
    process = multiprocessing.get_context("fork").Process(target=server.serve_forever)
    process.start()
    server.server_close()  # here; the child has its own
    try:
        yield instead
    finally:
        process.terminate()
        process.join()
