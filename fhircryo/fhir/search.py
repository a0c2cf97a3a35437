"""Searches on a FHIR server, page after page: all of it, or an error."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import msgspec
import requests

from fhircryo.calendar import moment
from fhircryo.errors import SourceError
from fhircryo.fhir.client import Client, HttpError, joined, without_query
from fhircryo.fhir.page_cache import KeptPage, KeptPages, KeptSearch

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


class _Turned(NamedTuple):
    """A page of a search: its total (0: none stated), its matches, and where the next one is."""

    total: int
    matches: list[_Match]
    link: str | None

    def to_keep(self) -> KeptPage:
        """As it is kept on disk."""
        return KeptPage([match.line for match in self.matches], self.total, self.link)


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

    The next page is asked for while the one before it is being read. ``kept``: pages of a run that
    broke off, which are not asked for again.
    """

    def __init__(self, client: Client, kept: KeptPages | None = None) -> None:
        self._client = client
        self._kept = kept
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
            for unseen in _unseen(kind, _matches(page), seen):
                lines += unseen
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
        found = expected = missing = 0
        link: str | None = None
        kept = None if self._kept is None else self._kept.of(self._client.base, kind, params)
        if kept is not None:
            for page in kept.pages():
                expected, link = max(expected, page.total), page.link
                yield from _unseen(kind, [_Match(line, head_of(line)) for line in page.lines], seen)
            if kept.any and link is None and _names(seen) >= expected:
                return
        for attempt in range(1, _TRIES + 1):
            if kept is not None and link is None:
                kept.forget()
            try:
                for turned in self._pages(kind, params, link, kept):
                    expected = max(expected, turned.total)
                    yield from _unseen(kind, turned.matches, seen)
            except _ExpiredError:
                if attempt > 1:
                    raise SourceError(
                        f"{self._client.base}/{kind}: the server forgot the search while its pages"
                        " were read, twice; ask for fewer or larger pages (setting page_size)"
                    ) from None
            else:
                # While others write, pages shift; what a count shows to be missing is read again.
                found, missing = _names(seen), expected
                if found >= expected:
                    return
            expected, link = 0, None
        raise SourceError(
            f"{self._client.base}/{kind}: the server counts {missing} matches and gives {found},"
            f" {_TRIES} times"
        )

    def _pages(
        self, kind: str, params: Params, link: str | None, kept: KeptSearch | None
    ) -> Iterator[_Turned]:
        """The pages of a search; ``link``: where it goes on (None: from its beginning)."""
        sized = {**params, "_count": str(self._client.connection.page_size)}
        response = self._counted(kind, sized) if link is None else self._continued(link)
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
            turned = _Turned(page.total or 0, matches, link)
            if kept is not None:
                kept.keep(turned.to_keep())
            yield turned
            if link is None or upcoming is None:
                return
            try:
                response = upcoming.result()
            except HttpError as error:
                if error.status in _EXPIRED:
                    raise _ExpiredError from None
                raise

    def _continued(self, link: str) -> requests.Response:
        """The page that a run which broke off would have read next."""
        try:
            return self._client.request("GET", link)
        except HttpError as error:
            # Servers differ in what they say of a search that they no longer know.
            if error.status in _EXPIRED | _NOT_TAKEN:
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
        link = joined(url, link)
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


def _names(seen: set[_Key]) -> int:
    """How many resources were seen, in whatever versions."""
    return len({name for name, _, _ in seen})


def _matches(page: _Page) -> list[_Match]:
    """The matches of a page; what was only included with them left out."""
    found = []
    for entry in page.entry or ():
        line = bytes(entry.resource)
        if not line or (entry.search is not None and entry.search.mode in _NO_MATCH):
            continue
        found.append(_Match(line, head_of(line)))
    return found


def _unseen(kind: str, matches: list[_Match], seen: set[_Key]) -> Iterator[list[bytes]]:
    """The matches of the type asked for that are new, noted as seen; nothing where none is."""
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
    if found:
        yield found


def _key(head: Head | None) -> _Key:
    meta = (head.meta if head else None) or _Meta()
    name = (head.id if head else None) or ""
    return (name, meta.version_id or "", meta.last_updated or "")
