"""That the proxy misbehaves as it is told; in front of a server of two pages, without HAPI."""

import json
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

from tests.server import proxy as faults
from tests.server.proxy import Fault, FaultProxy

FORM = {"patient": "p1,p2", "code": "http://loinc.org|2857-1"}


class TwoPages(BaseHTTPRequestHandler):
    """Answers every search with entries a and b, then c; its links are absolute."""

    def do_GET(self) -> None:
        base = f"http://127.0.0.1:{self.server.server_address[1]}/fhir"
        second = "_getpages" in parse_qs(urlsplit(self.path).query)
        names = ["c"] if second else ["a", "b"]
        body = {
            "resourceType": "Bundle",
            "total": 3,
            "link": [] if second else [{"relation": "next", "url": f"{base}?_getpages=k&n=2"}],
            "entry": [{"resource": {"resourceType": "Observation", "id": name}} for name in names],
        }
        self._send(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def _send(self, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), TwoPages)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/fhir"
    server.shutdown()
    server.server_close()


def first(proxy: FaultProxy, **headers: str) -> requests.Response:
    return requests.post(f"{proxy.url}/Observation/_search", FORM, headers=headers, timeout=10)


def next_of(response: requests.Response) -> str | None:
    links = [one["url"] for one in response.json()["link"] if one["relation"] == "next"]
    return links[0] if links else None


def names(response: requests.Response) -> list[str]:
    return [entry["resource"]["id"] for entry in response.json()["entry"]]


def all_pages(proxy: FaultProxy, most: int = 6) -> list[list[str]]:
    response = first(proxy)
    found = [names(response)]
    while (link := next_of(response)) and len(found) < most:
        response = requests.get(urljoin(f"{proxy.url}/", link), timeout=10)
        found.append(names(response))
    return found


def test_passes_and_remembers(upstream: str) -> None:
    with FaultProxy(upstream) as proxy:
        assert all_pages(proxy) == [["a", "b"], ["c"]]
        search, page = proxy.requests
    assert (search.method, search.path, search.status) == ("POST", "/Observation/_search", 200)
    assert search.param("patient") == ["p1,p2"]
    assert search.kind == "Observation"
    assert page.param("_getpages") == ["k"]


@pytest.mark.parametrize(
    "fault, status",
    [
        (faults.NoPostSearch(), 405),
        (faults.NoPostSearch(403), 403),
        (faults.NoSearchBy("Observation", "code"), 400),
        (faults.NoSearchBy("Procedure", "code"), 200),
        (faults.NoSearchWithoutPatient("Observation"), 200),
        (faults.NoLists(), 400),
        (faults.NoLists("encounter"), 200),
        (faults.NoType("Observation", 403), 403),
        (faults.NoType("AdverseEvent"), 200),
        (faults.Bearer("right"), 401),
        (faults.Refuse(418, skip=1), 200),
        (faults.Unavailable(429), 429),
        (faults.Html(), 200),
    ],
)
def test_refusals(upstream: str, fault: Fault, status: int) -> None:
    with FaultProxy(upstream, fault) as proxy:
        response = first(proxy)
        assert response.status_code == status == proxy.requests[0].status
        is_html = response.headers["Content-Type"].startswith("text/html")
        assert is_html == isinstance(fault, faults.Html)


def test_a_search_without_a_patient(upstream: str) -> None:
    with FaultProxy(upstream, faults.NoSearchWithoutPatient("Procedure")) as proxy:
        assert requests.get(f"{proxy.url}/Procedure?code=1", timeout=10).status_code == 400
        assert requests.get(f"{proxy.url}/Procedure?subject:Patient=1", timeout=10).ok


def test_bearer(upstream: str) -> None:
    with FaultProxy(upstream, bearer := faults.Bearer("one")) as proxy:
        assert first(proxy, Authorization="Bearer one").ok
        bearer.accept = {"two"}
        assert first(proxy, Authorization="Bearer one").status_code == 401
        assert proxy.requests[0].header("Authorization") == "Bearer one"


def test_busy_for_a_while(upstream: str) -> None:
    busy = faults.Unavailable(retry_after=30, as_date=True, times=2)
    begun = time.time()
    with FaultProxy(upstream, busy) as proxy:
        answers = [first(proxy) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    when = parsedate_to_datetime(answers[0].headers["Retry-After"]).timestamp()
    assert int(begun) + 30 <= when <= time.time() + 30


@pytest.mark.parametrize("after", [False, True])
def test_reset(upstream: str, after: bool) -> None:
    with FaultProxy(upstream, faults.Reset(after=after)) as proxy:
        with pytest.raises(requests.ConnectionError, match="reset"):
            first(proxy)
        assert first(proxy).ok
        assert [one.status for one in proxy.requests] == [0, 200]


def test_truncated(upstream: str) -> None:
    with FaultProxy(upstream, faults.Truncate(times=1)) as proxy:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            first(proxy)
        assert first(proxy).ok


def test_truncated_as_if_whole(upstream: str) -> None:
    with FaultProxy(upstream, faults.Truncate(honest=True)) as proxy:
        response = first(proxy)
    with pytest.raises(requests.JSONDecodeError):
        response.json()


def test_slow(upstream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(faults.time, "sleep", pauses.append)
    with FaultProxy(upstream, faults.Slow(0.05, chunks=4)) as proxy:
        assert names(first(proxy)) == ["a", "b"]
    assert pauses == [0.05] * 4


def test_a_page_twice(upstream: str) -> None:
    with FaultProxy(upstream, faults.NextRepeats()) as proxy:
        assert all_pages(proxy) == [["a", "b"], ["a", "b"], ["c"]]


@pytest.mark.parametrize("same_link", [True, False])
def test_a_page_for_ever(upstream: str, same_link: bool) -> None:
    with FaultProxy(upstream, faults.NextRepeats(forever=True, same_link=same_link)) as proxy:
        assert all_pages(proxy, most=5) == [["a", "b"]] * 5
        links = {one.query for one in proxy.asked(faults.next_pages)}
    assert (len(links) == 1) == same_link


def test_next_at_another_host(upstream: str) -> None:
    with FaultProxy(upstream, faults.NextElsewhere("http://other.example")) as proxy:
        assert next_of(first(proxy)) == "http://other.example/fhir?_getpages=k&n=2"


@pytest.mark.parametrize(
    "to_base, link", [(False, "/fhir?_getpages=k&n=2"), (True, "?_getpages=k&n=2")]
)
def test_next_is_relative(upstream: str, to_base: bool, link: str) -> None:
    with FaultProxy(upstream, faults.NextRelative(to_base=to_base)) as proxy:
        assert next_of(first(proxy)) == link


def test_next_has_expired_once(upstream: str) -> None:
    with FaultProxy(upstream, faults.NextExpires()) as proxy:
        link = next_of(first(proxy))
        assert link is not None
        assert link.startswith(proxy.url)
        assert [requests.get(link, timeout=10).status_code for _ in range(2)] == [410, 200]


def test_edits(upstream: str) -> None:
    def without_total(bundle: Any) -> None:
        del bundle["total"]

    with FaultProxy(upstream, faults.Edit(without_total), faults.DropEntry(position=-1)) as proxy:
        response = first(proxy)
    assert "total" not in response.json()
    assert names(response) == ["a"]


def test_redirect(upstream: str) -> None:
    with FaultProxy(upstream, faults.Redirect("http://other.example/r4", 308)) as proxy:
        url = f"{proxy.url}/Patient?_id=1"
        response = requests.get(url, timeout=10, allow_redirects=False)
    assert response.headers["Location"] == "http://other.example/r4/Patient?_id=1"


def test_conditions_skip_and_times(upstream: str) -> None:
    busy = faults.Unavailable(when=faults.of_kind("Observation"), skip=1, times=1)
    with FaultProxy(upstream, busy) as proxy:
        assert requests.get(f"{proxy.url}/Patient", timeout=10).ok
        assert [first(proxy).status_code for _ in range(3)] == [200, 503, 200]
        assert busy.hits == 1


def test_nothing_behind(upstream: str) -> None:
    with FaultProxy("http://127.0.0.1:9/fhir") as proxy:
        assert first(proxy).status_code == 502
