"""Searches on a FHIR server, page by page: all matches, or an error."""

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
#: The search modes of entries that are not matches.
_NO_MATCH = frozenset({"include", "outcome"})
_NOT_TAKEN = frozenset({400, 422, 501})
_ATTEMPTS = 3
#: By default HAPI reuses the result of an equal search of the last minute.
_FRESH = {"Cache-Control": "no-cache"}
#: How many pages in a row may contain nothing new, because they are empty or have shifted.
_MOST_IDLE = 20

#: The id, version and last update of a match.
_Key = tuple[str, str, str]

Params = Mapping[str, str]


class _PageLink(msgspec.Struct):
    relation: str | None = None
    url: str | None = None


class _EntrySearch(msgspec.Struct):
    mode: str | None = None


class _EntryRequest(msgspec.Struct):
    method: str | None = None
    url: str | None = None


class _EntryResponse(msgspec.Struct, rename="camel"):
    last_modified: str | None = None


class BundlePageEntry(msgspec.Struct, rename="camel"):
    """An entry of a searchset or of a history."""

    resource: msgspec.Raw = msgspec.Raw(b"")
    search: _EntrySearch | None = None
    request: _EntryRequest | None = None
    response: _EntryResponse | None = None


class _Meta(msgspec.Struct, rename="camel"):
    version_id: str | None = None
    last_updated: str | None = None


class _PageBundle(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    total: int | None = None
    link: list[_PageLink] | None = None
    meta: _Meta | None = None
    entry: list[BundlePageEntry] | None = None


class Head(msgspec.Struct, rename="camel"):
    """The type, id and version of a resource."""

    resource_type: str | None = None
    id: str | None = None
    meta: _Meta | None = None


_PAGE = msgspec.json.Decoder(_PageBundle)
_HEAD = msgspec.json.Decoder(Head)


class _Match(NamedTuple):
    """A match as JSON, and its type, id and version; ``head`` is None if it cannot be decoded."""

    line: bytes
    head: Head | None


class _ResultPage(NamedTuple):
    """A page of a search: the stated total (0: none), its matches, and the next page's URL."""

    total: int
    matches: list[_Match]
    link: str | None

    def to_keep(self) -> KeptPage:
        """Return the page in the form in which it is stored."""
        return KeptPage([match.line for match in self.matches], self.total, self.link)


class Sample(NamedTuple):
    """The first pages of a search.

    ``total``: the number of matches that the server states; ``whole``: whether there are no more
    pages.
    """

    lines: list[bytes]
    pages: int
    total: int | None
    whole: bool


class _ExpiredError(Exception):
    """The server has discarded a search whose pages were still being read."""


class Searcher:
    """Searches a server by POST, so that codes and ids do not appear in access logs.

    Falls back to GET if the server does not support that. The next page is requested while the
    current one is processed. ``kept``: the pages that an interrupted run stored; they are not
    requested again.
    """

    def __init__(self, client: Client, kept: KeptPages | None = None) -> None:
        self._client = client
        self._kept = kept
        self._by_post = True
        self._totals = True
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="fhircryo-page")
        #: The earliest time, of those that the server states, at which a page was made.
        self.answered: str | None = None

    def close(self) -> None:
        """Stop requesting pages in advance."""
        self._ahead.shutdown(wait=True, cancel_futures=True)

    def any(self, kind: str, params: Params) -> bool:
        """Whether a search has any match.

        Raises:
            HttpError: the server rejects the search.
            SourceError: the response is not a Bundle.
        """
        page = self._page(self._first(kind, {**params, "_count": "1"}))
        if page.total is not None:
            return page.total > 0
        return any(entry.resource for entry in page.entry or ())

    def history(self, kind: str, since: str) -> Iterator[BundlePageEntry]:
        """Yield the entries of a resource type's history since an instant, newest first.

        Raises:
            HttpError: the server has no history of the type, or refuses to return it.
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
        """Return the first ``pages`` pages of a search, without requesting any further page.

        ``params`` may name another ``_count`` than the settings do.

        Raises:
            HttpError: the server rejects the search.
            SourceError: a page is not a Bundle, or the next page is at another origin.
        """
        sized = {"_count": str(self._client.connection.page_size), **params}
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
        """Yield all matches as JSON, each of them once, page by page.

        Raises:
            HttpError: the server rejects the search.
            SourceError: a page is not a Bundle, the next page is at another origin, or the server
                returns fewer matches than it counts.
        """
        seen: set[_Key] = set()
        found = expected = missing = 0
        link: str | None = None
        kept = None if self._kept is None else self._kept.of(self._client.base, kind, params)
        if kept is not None:
            for page in kept.pages():
                expected, link = max(expected, page.total), page.link
                yield from _unseen(kind, [_Match(line, head_of(line)) for line in page.lines], seen)
            if kept.any and link is None and _count_resources(seen) >= expected:
                return
        for attempt in range(1, _ATTEMPTS + 1):
            if kept is not None and link is None:
                kept.forget()
            try:
                for result in self._pages(kind, params, link, kept):
                    expected = max(expected, result.total)
                    yield from _unseen(kind, result.matches, seen)
            except _ExpiredError:
                if attempt > 1:
                    raise SourceError(
                        f"{self._client.base}/{kind}: the server twice discarded the search while"
                        " its pages were read; request fewer or larger pages (setting page_size)"
                    ) from None
            else:
                # Pages shift while others write; the search is repeated if matches are missing.
                found, missing = _count_resources(seen), expected
                if found >= expected:
                    return
            expected, link = 0, None
        raise SourceError(
            f"{self._client.base}/{kind}: the server counts {missing} matches but returns {found},"
            f" in each of {_ATTEMPTS} attempts"
        )

    def _pages(
        self, kind: str, params: Params, link: str | None, kept: KeptSearch | None
    ) -> Iterator[_ResultPage]:
        """Yield the pages of a search; ``link``: the page to continue from (None: the first)."""
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
                    f"{self._client.base}/{kind}: {idle} pages in a row contain nothing new: the"
                    " server's links to the next page form a loop"
                )
            result = _ResultPage(page.total or 0, matches, link)
            if kept is not None:
                kept.keep(result.to_keep())
            yield result
            if link is None or upcoming is None:
                return
            try:
                response = upcoming.result()
            except HttpError as error:
                if error.status in _EXPIRED:
                    raise _ExpiredError from None
                raise

    def _continued(self, link: str) -> requests.Response:
        """Request the page from which an interrupted run continues."""
        try:
            return self._client.request("GET", link)
        except HttpError as error:
            # Servers use different statuses for a search that they have discarded.
            if error.status in _EXPIRED | _NOT_TAKEN:
                raise _ExpiredError from None
            raise

    def _counted(self, kind: str, params: Params) -> requests.Response:
        """Request the first page, with an exact total if the server supports it."""
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

    def _page(self, response: requests.Response) -> _PageBundle:
        shown = without_query(response.url)
        try:
            page = _PAGE.decode(response.content)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SourceError(f"{shown}: the page is not a FHIR Bundle: {error}") from None
        if page.resource_type != "Bundle":
            received = page.resource_type or "resource without a type"
            raise SourceError(f"{shown}: the server returned a {received} instead of a Bundle")
        made = page.meta.last_updated if page.meta is not None else None
        if made and (self.answered is None or moment(made) < moment(self.answered)):
            self.answered = made
        return page

    def _next(self, page: _PageBundle, url: str, visited: set[str]) -> str | None:
        """Return the URL of the next page, and add it to those visited; None after the last."""
        links = page.link or ()
        relative = next((link.url for link in links if link.relation == "next" and link.url), None)
        if relative is None:
            return None
        link = joined(url, relative)
        if not self._client.allowed(link):
            raise SourceError(
                f"{without_query(link)}: the next page is at another origin; not followed"
                " (setting origins allows it)"
            )
        if link in visited:
            raise SourceError(
                f"{without_query(link)}: the server's links to the next page form a loop"
            )
        visited.add(link)
        return link


def head_of(line: bytes) -> Head | None:
    """Return the type, id and version of a resource; None if it cannot be decoded."""
    try:
        return _HEAD.decode(line)
    except msgspec.MsgspecError:
        return None


def _count_resources(seen: set[_Key]) -> int:
    """Return how many different resources were seen; versions of a resource count once."""
    return len({name for name, _, _ in seen})


def _matches(page: _PageBundle) -> list[_Match]:
    """Return the matches of a page, without included resources and outcomes."""
    found = []
    for entry in page.entry or ():
        line = bytes(entry.resource)
        if not line or (entry.search is not None and entry.search.mode in _NO_MATCH):
            continue
        found.append(_Match(line, head_of(line)))
    return found


def _unseen(kind: str, matches: list[_Match], seen: set[_Key]) -> Iterator[list[bytes]]:
    """Yield the matches of type ``kind`` that are new, if any, and add them to those seen."""
    found = []
    for line, head in matches:
        if head is not None and head.resource_type != kind:
            continue
        key = _key(head)
        if key not in seen:
            if head is not None:
                seen.add(key)
            # Unreadable matches are included: decoding them later reports what is wrong.
            found.append(line)
    if found:
        yield found


def _key(head: Head | None) -> _Key:
    meta = (head.meta if head else None) or _Meta()
    name = (head.id if head else None) or ""
    return (name, meta.version_id or "", meta.last_updated or "")
