"""Searches on a FHIR server, page after page: all of it, or an error."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import urljoin

import msgspec
import requests

from fhircryo.calendar import moment
from fhircryo.errors import SourceError
from fhircryo.fhir.client import Client, HttpError, without_query

_NO_POST = frozenset({404, 405, 415})
_EXPIRED = frozenset({404, 410})
_NO_MATCH = frozenset({"include", "outcome"})
_NOT_TAKEN = frozenset({400, 422, 501})
_TRIES = 3
#: HAPI answers a search from one of the last minute unless it is told not to.
_FRESH = {"Cache-Control": "no-cache"}
# Pages in a row that may bring nothing new: empty ones, or ones that shifted.
_MOST_IDLE = 20

#: Id, version and last update of a match.
_Key = tuple[str, str, str]

Params = Mapping[str, str]


class _Link(msgspec.Struct):
    relation: str | None = None
    url: str | None = None


class _Mode(msgspec.Struct):
    mode: str | None = None


class _Request(msgspec.Struct):
    method: str | None = None
    url: str | None = None


class _Response(msgspec.Struct, rename="camel"):
    last_modified: str | None = None


class Entry(msgspec.Struct, rename="camel"):
    """An entry of a searchset or a history."""

    resource: msgspec.Raw = msgspec.Raw(b"")
    search: _Mode | None = None
    request: _Request | None = None
    response: _Response | None = None


class _Meta(msgspec.Struct, rename="camel"):
    version_id: str | None = None
    last_updated: str | None = None


class _Page(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    total: int | None = None
    link: list[_Link] | None = None
    meta: _Meta | None = None
    entry: list[Entry] | None = None


class Head(msgspec.Struct, rename="camel"):
    """What a resource says that it is."""

    resource_type: str | None = None
    id: str | None = None
    meta: _Meta | None = None


_PAGE = msgspec.json.Decoder(_Page)
_HEAD = msgspec.json.Decoder(Head)


class _Match(NamedTuple):
    """A match as JSON, and what it says that it is; None where it cannot be read."""

    line: bytes
    head: Head | None


class Sample(NamedTuple):
    """The first pages of a search; ``total``: as the server states it; ``whole``: that was all."""

    lines: list[bytes]
    pages: int
    total: int | None
    whole: bool


class _ExpiredError(Exception):
    """The server has forgotten a search while it was being read."""


class Searcher:
    """Searches by POST, so that codes and ids stay out of access logs; by GET where it must.

    The next page is asked for while the one before it is being read.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._by_post = True
        self._totals = True
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="fhircryo-page")
        #: When the server says that it made its answers, the earliest of them.
        self.answered: str | None = None

    def close(self) -> None:
        """Stop asking ahead."""
        self._ahead.shutdown(wait=True, cancel_futures=True)

    def any(self, kind: str, params: Params) -> bool:
        """Whether a search finds anything."""
        page = self._page(self._first(kind, {**params, "_count": "1"}))
        if page.total is not None:
            return page.total > 0
        return any(entry.resource for entry in page.entry or ())

    def history(self, kind: str, since: str) -> Iterator[Entry]:
        """The entries of a type's history since an instant, newest first.

        Raises:
            HttpError: the server has none, or refuses.
        """
        url = f"{self._client.base}/{kind}/_history"
        size = str(self._client.connection.page_size)
        response = self._by_get(url, {"_since": since, "_count": size})
        visited: set[str] = set()
        while True:
            page = self._page(response)
            yield from page.entry or ()
            link = self._next(page, response.url, visited)
            if link is None:
                return
            response = self._client.request("GET", link)

    def sample(self, kind: str, params: Params, pages: int) -> "Sample":
        """The first pages of a search, and no more requests than those.

        Raises:
            HttpError: the server refuses the search.
            SourceError: a page is not what it must be.
        """
        sized = {**params, "_count": str(self._client.connection.page_size)}
        response = self._first(kind, sized)
        visited: set[str] = set()
        lines: list[bytes] = []
        seen: set[_Key] = set()
        total: int | None = None
        for read in range(1, pages + 1):
            page = self._page(response)
            total = page.total if total is None else total
            lines += _unseen(kind, _matches(page), seen)
            link = self._next(page, response.url, visited)
            if link is None or read == pages:
                break
            response = self._client.request("GET", link)
        return Sample(lines, read, total, link is None)

    def search(self, kind: str, params: Params) -> Iterator[list[bytes]]:
        """All matches as JSON, each once, page by page.

        Raises:
            HttpError: the server refuses the search.
            SourceError: a page is not what it must be; matches are missing.
        """
        seen: set[_Key] = set()
        found = expected = 0
        for attempt in range(1, _TRIES + 1):
            expected = 0
            try:
                for total, matches in self._pages(kind, params):
                    expected = max(expected, total)
                    lines = _unseen(kind, matches, seen)
                    if lines:
                        yield lines
            except _ExpiredError:
                if attempt == 1:
                    continue
                raise SourceError(
                    f"{self._client.base}/{kind}: the server forgot the search while its pages were"
                    " read, twice; ask for fewer or larger pages (setting page_size)"
                ) from None
            # While others write, pages shift; what a count shows to be missing is read again.
            found = len({name for name, _, _ in seen})
            if found >= expected:
                return
        raise SourceError(
            f"{self._client.base}/{kind}: the server counts {expected} matches and gives {found},"
            f" {_TRIES} times"
        )

    def _pages(self, kind: str, params: Params) -> Iterator[tuple[int, list[_Match]]]:
        """The pages of a search: the total that each states (0: none), and its matches."""
        sized = {**params, "_count": str(self._client.connection.page_size)}
        response = self._counted(kind, sized)
        visited: set[str] = set()
        met: set[_Key] = set()
        idle = 0
        upcoming: Future[requests.Response] | None = None
        while True:
            page = self._page(response)
            link = self._next(page, response.url, visited)
            if link is not None:
                upcoming = self._ahead.submit(self._client.request, "GET", link)
            matches = _matches(page)
            keys = {_key(match.head) for match in matches}
            idle = 0 if keys - met else idle + 1
            met |= keys
            if idle > _MOST_IDLE:
                raise SourceError(
                    f"{self._client.base}/{kind}: {idle} pages in a row with nothing new: the"
                    " server's pages go round in a circle"
                )
            yield page.total or 0, matches
            if link is None or upcoming is None:
                return
            try:
                response = upcoming.result()
            except HttpError as error:
                if error.status in _EXPIRED:
                    raise _ExpiredError from None
                raise

    def _counted(self, kind: str, params: Params) -> requests.Response:
        """The first page, with an exact total where the server knows how."""
        if self._totals:
            try:
                return self._first(kind, {**params, "_total": "accurate"})
            except HttpError as error:
                if error.status not in _NOT_TAKEN:
                    raise
                response = self._first(kind, params)
                self._totals = False
                return response
        return self._first(kind, params)

    def _first(self, kind: str, params: Params) -> requests.Response:
        url = f"{self._client.base}/{kind}"
        if not self._by_post:
            return self._by_get(url, params)
        try:
            return self._client.request("POST", f"{url}/_search", form=dict(params), headers=_FRESH)
        except HttpError as error:
            if error.status not in _NO_POST:
                raise
            refused = error
        try:
            response = self._by_get(url, params)
        except HttpError as error:
            raise (error if error.status not in _NO_POST else refused) from None
        self._by_post = False
        return response

    def _by_get(self, url: str, params: Params) -> requests.Response:
        prepared = requests.Request("GET", url, params=dict(params)).prepare()
        return self._client.request("GET", prepared.url or url, headers=_FRESH)

    def _page(self, response: requests.Response) -> _Page:
        shown = without_query(response.url)
        try:
            page = _PAGE.decode(response.content)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SourceError(f"{shown}: the page is not a FHIR Bundle: {error}") from None
        if page.resource_type != "Bundle":
            raise SourceError(
                f"{shown}: a {page.resource_type or 'nameless thing'} came where a Bundle was asked"
            )
        made = page.meta.last_updated if page.meta is not None else None
        if made and (self.answered is None or moment(made) < moment(self.answered)):
            self.answered = made
        return page

    def _next(self, page: _Page, url: str, visited: set[str]) -> str | None:
        link = next(
            (one.url for one in page.link or () if one.relation == "next" and one.url), None
        )
        if link is None:
            return None
        link = urljoin(url, link)
        if not self._client.allowed(link):
            raise SourceError(
                f"{without_query(link)}: a next page at another origin; not followed"
                " (setting origins allows it)"
            )
        if link in visited:
            raise SourceError(f"{without_query(link)}: the server's pages go round in a circle")
        visited.add(link)
        return link


def head_of(line: bytes) -> Head | None:
    """What a resource says that it is; None where it cannot be read."""
    try:
        return _HEAD.decode(line)
    except msgspec.MsgspecError:
        return None


def _matches(page: _Page) -> list[_Match]:
    """The matches of a page; what was only included with them left out."""
    found = []
    for entry in page.entry or ():
        line = bytes(entry.resource)
        if not line or (entry.search is not None and entry.search.mode in _NO_MATCH):
            continue
        found.append(_Match(line, head_of(line)))
    return found


def _unseen(kind: str, matches: list[_Match], seen: set[_Key]) -> list[bytes]:
    """The matches of the type asked for that are new, noted as seen."""
    found = []
    for line, head in matches:
        if head is not None and head.resource_type != kind:
            continue
        key = _key(head)
        if key not in seen:
            if head is not None:
                seen.add(key)
            # What cannot be read is given, too: reading it says what is wrong.
            found.append(line)
    return found


def _key(head: Head | None) -> _Key:
    meta = (head.meta if head else None) or _Meta()
    name = (head.id if head else None) or ""
    return (name, meta.version_id or "", meta.last_updated or "")
