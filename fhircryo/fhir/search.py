"""Searches on a FHIR server, page by page: all matches, or an error."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import msgspec
import requests

from fhircryo.calendar import moment
from fhircryo.errors import SourceError
from fhircryo.fhir import refusals
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.outcomes import OPERATION_OUTCOME, Outcomes
from fhircryo.fhir.page_cache import KeptPage, KeptPages, KeptSearch
from fhircryo.fhir.unexpected import described
from fhircryo.fhir.urls import joined, without_query
from fhircryo.interrupts import asked_to_stop

_INCLUDED, _OUTCOME = "include", "outcome"
_SEARCH_BY_POST = "/_search"
_ID, _COUNT = "_id", "_count"
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
    """A page of a search: the stated total (0: none), its matches, and the next page's URL.

    ``outcomes``: the OperationOutcomes beside its matches.
    """

    total: int
    matches: list[_Match]
    link: str | None
    outcomes: list[bytes]

    @classmethod
    def of(cls, kept: KeptPage) -> "_ResultPage":
        """Return a page that was stored."""
        matches = [_Match(line, head_of(line)) for line in kept.lines]
        return cls(kept.total, matches, kept.link, kept.outcomes)

    def to_keep(self) -> KeptPage:
        """Return the page in the form in which it is stored."""
        lines = [match.line for match in self.matches]
        return KeptPage(lines, self.total, self.link, self.outcomes)


class _Tally:
    """Counts the matches of one reading of a search, and compares them with the stated total.

    A total may be an estimate until the last page, so the last one that is stated counts.
    Source: https://cloud.google.com/healthcare-api/docs/how-tos/best-practices-fhir-search
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._names: set[str] = set()
        self._nameless = 0
        self.stated = 0

    def add(self, page: _ResultPage) -> None:
        """Count the matches of a page; versions of a resource are one."""
        for _, head in page.matches:
            if head is None or not head.id:
                self._nameless += 1
            elif head.resource_type == self._kind:
                self._names.add(head.id)
        self.stated = page.total or self.stated

    @property
    def found(self) -> int:
        """The number of different matches."""
        return len(self._names) + self._nameless

    @property
    def agrees(self) -> bool:
        """Whether as many matches were found as the server counts; True if it states no total."""
        return not self.stated or self.found == self.stated


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
        #: What the server says beside the matches, such as that it withholds some.
        self.outcomes = Outcomes()

    def close(self) -> None:
        """Stop requesting pages in advance; nobody waits for a page when the run is to stop."""
        self._ahead.shutdown(wait=asked_to_stop() is None, cancel_futures=True)

    def any(self, kind: str, params: Params) -> bool:
        """Whether a search has any match.

        Raises:
            HttpError: the server rejects the search.
            SourceError: the response is not a Bundle.
        """
        page = self._page(self._first(kind, {**params, _COUNT: "1"}))
        result = _result(page, None)
        self._note(kind, result)
        if any(head is None or head.resource_type == kind for _, head in result.matches):
            return True
        # Some servers count outcomes as well.
        return not result.outcomes and result.total > 0

    def history(self, kind: str, since: str) -> Iterator[BundlePageEntry]:
        """Yield the entries of a resource type's history since an instant, newest first.

        Raises:
            HttpError: the server has no history of the type, or refuses to return it.
        """
        url = f"{self._client.base}/{kind}/_history"
        size = str(self._client.connection.page_size)
        response = self._by_get(url, {"_since": since, _COUNT: size})
        visited: set[str] = set()
        while True:
            page = self._page(response)
            yield from page.entry or ()
            link = self._next(page, response.url, visited)
            if link is None:
                return
            response = self._follow(link)

    def sample(self, kind: str, params: Params, pages: int) -> "Sample":
        """Return the first ``pages`` pages of a search, without requesting any further page.

        ``params`` may name another ``_count`` than the settings do.

        Raises:
            HttpError: the server rejects the search.
            SourceError: a page is not a Bundle, or the next page is at another origin.
        """
        sized = {_COUNT: str(self._client.connection.page_size), **params}
        response = self._first(kind, sized)
        visited: set[str] = set()
        lines: list[bytes] = []
        seen: set[_Key] = set()
        total: int | None = None
        for read in range(1, pages + 1):
            page = self._page(response)
            total = page.total if total is None else total
            result = _result(page, None)
            self._note(kind, result)
            for unseen in _unseen(kind, result.matches, seen):
                lines += unseen
            link = self._next(page, response.url, visited)
            if link is None or read == pages:
                break
            response = self._follow(link)
        return Sample(lines, read, total, link is None)

    def search(self, kind: str, params: Params) -> Iterator[list[bytes]]:
        """Yield all matches as JSON, each of them once, page by page.

        Raises:
            HttpError: the server rejects the search.
            SourceError: a page is not a Bundle, the next page is at another origin, or the server
                returns another number of matches than it counts.
        """
        seen: set[_Key] = set()
        tally = _Tally(kind)
        link: str | None = None
        kept = None if self._kept is None else self._kept.of(self._client.base, kind, params)
        if kept is not None:
            for page in map(_ResultPage.of, kept.pages()):
                link = page.link
                yield from self._new(kind, page, tally, seen)
            if kept.any and link is None and tally.agrees:
                return
        for attempt in range(1, _ATTEMPTS + 1):
            if link is None:
                tally = _Tally(kind)
                if kept is not None:
                    kept.forget()
            try:
                for page in self._pages(kind, params, link, kept):
                    yield from self._new(kind, page, tally, seen)
            except _ExpiredError:
                if attempt > 1:
                    raise SourceError(
                        f"{self._client.base}/{kind}: the server twice discarded the search while"
                        " its pages were read; request fewer or larger pages (setting page_size)"
                    ) from None
            else:
                # Pages shift while others write; the search is repeated if the numbers differ.
                if tally.agrees:
                    return
            link = None
        raise SourceError(
            f"{self._client.base}/{kind}: the server counts {tally.stated} matches but returns"
            f" {tally.found}, in each of {_ATTEMPTS} attempts"
        )

    def _new(
        self, kind: str, page: _ResultPage, tally: _Tally, seen: set[_Key]
    ) -> Iterator[list[bytes]]:
        """Count a page of a search, note its outcomes, and yield what is new on it."""
        tally.add(page)
        self._note(kind, page)
        yield from _unseen(kind, page.matches, seen)

    def _note(self, kind: str, page: _ResultPage) -> None:
        for outcome in page.outcomes:
            self.outcomes.note(kind, outcome)

    def _pages(
        self, kind: str, params: Params, link: str | None, kept: KeptSearch | None
    ) -> Iterator[_ResultPage]:
        """Yield the pages of a search; ``link``: the page to continue from (None: the first)."""
        sized = {**params, _COUNT: str(self._client.connection.page_size)}
        response = self._counted(kind, sized) if link is None else self._continued(link)
        visited: set[str] = set()
        met: set[_Key] = set()
        idle = 0
        upcoming: Future[requests.Response] | None = None
        while True:
            page = self._page(response)
            link = self._next(page, response.url, visited)
            if link is not None:
                upcoming = self._ahead.submit(self._follow, link)
            result = _result(page, link)
            keys = {_key(match.head) for match in result.matches}
            idle = 0 if keys - met else idle + 1
            met |= keys
            if idle > _MOST_IDLE:
                raise SourceError(
                    f"{self._client.base}/{kind}: {idle} pages in a row contain nothing new: the"
                    " server's links to the next page form a loop"
                )
            if kept is not None:
                kept.keep(result.to_keep())
            yield result
            if link is None or upcoming is None:
                return
            try:
                response = upcoming.result()
            except HttpError as error:
                if refusals.gone(error):
                    raise _ExpiredError from None
                raise

    def _follow(self, link: str) -> requests.Response:
        """Request the next page.

        A server that answers a search by POST may name a next page that it gives by POST only.
        Source: https://github.com/FirelyTeam/firely-net-sdk/issues/1405
        """
        try:
            return self._client.request("GET", link)
        except HttpError as error:
            parts = urlsplit(link)
            if not parts.path.endswith(_SEARCH_BY_POST) or not refusals.interaction_unsupported(
                error
            ):
                raise
            url = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
            return self._client.request("POST", url, form=dict(parse_qsl(parts.query)))

    def _continued(self, link: str) -> requests.Response:
        """Request the page from which an interrupted run continues."""
        try:
            return self._follow(link)
        except HttpError as error:
            # Servers use different statuses for a search that they have discarded.
            if refusals.gone(error) or refusals.parameter_unsupported(error):
                raise _ExpiredError from None
            raise

    def _counted(self, kind: str, params: Params) -> requests.Response:
        """Request the first page, with an exact total if the server supports it."""
        if self._totals:
            try:
                return self._first(kind, {**params, "_total": "accurate"})
            except HttpError as error:
                if not refusals.parameter_unsupported(error):
                    raise
                response = self._uncounted(kind, params)
                self._totals = False
                return response
        return self._uncounted(kind, params)

    def _uncounted(self, kind: str, params: Params) -> requests.Response:
        """Request the first page; of a search by id without a page size if the server refuses it.

        Source: https://github.com/cerner/fhir.cerner.com/pull/663, no other parameter beside _id.
        """
        try:
            return self._first(kind, params)
        except HttpError as error:
            if _ID not in params or not refusals.parameter_unsupported(error):
                raise
        return self._first(kind, {name: params[name] for name in params if name != _COUNT})

    def _first(self, kind: str, params: Params) -> requests.Response:
        url = f"{self._client.base}/{kind}"
        if not self._by_post:
            return self._by_get(url, params)
        try:
            return self._client.request("POST", f"{url}/_search", form=dict(params), headers=_FRESH)
        except HttpError as error:
            if not refusals.post_search_unsupported(error):
                raise
            refused = error
        try:
            response = self._by_get(url, params)
        except HttpError as error:
            raise (refused if refusals.post_search_unsupported(error) else error) from None
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
            what = described(response.content)
            raise SourceError(f"{shown}: not a FHIR Bundle but {what} ({error})") from None
        if page.resource_type != "Bundle":
            what = described(response.content)
            raise SourceError(f"{shown}: the server returned {what} instead of a Bundle")
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


def _result(page: _PageBundle, link: str | None) -> _ResultPage:
    """Return a page with its matches and its outcomes apart, without included resources."""
    matches, outcomes = [], []
    for entry in page.entry or ():
        line = bytes(entry.resource)
        mode = entry.search.mode if entry.search is not None else None
        if not line or mode == _INCLUDED:
            continue
        head = head_of(line)
        if mode == _OUTCOME or (head is not None and head.resource_type == OPERATION_OUTCOME):
            outcomes.append(line)
        else:
            matches.append(_Match(line, head))
    return _ResultPage(page.total or 0, matches, link, outcomes)


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
