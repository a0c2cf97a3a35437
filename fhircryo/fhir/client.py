"""HTTP client for one FHIR server: retries, redirects, allowed origins and error messages.

Error messages and log lines never contain a URL's query or a token.
"""

import email.utils
import logging
import random
import re
import time
from datetime import UTC, datetime
from typing import NamedTuple

import requests

from fhircryo.errors import SourceError
from fhircryo.fhir.connection import FHIR_JSON, Connection, send_settings, session
from fhircryo.fhir.deadline import DeadlineError
from fhircryo.fhir.limits import check_kind, read_whole
from fhircryo.fhir.outcomes import is_refusal, issues_of
from fhircryo.fhir.urls import joined, origin, without_query
from fhircryo.logs import escaped, masked

LOG = logging.getLogger("fhircryo.http")

#: The statuses of transient failures, for which a request is tried again.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0
_LONGEST_TEXT = 300
_CHALLENGE = re.compile(r'\b(\w++)="([^"]*)"')


class HttpError(SourceError):
    """An HTTP response with an error status (400 or above).

    ``outcome``: the text of its OperationOutcome; ``retry_after``: how many seconds the server
    asks to wait; ``body``: the response's content; ``date``: the server's time.
    """

    def __init__(
        self,
        method: str,
        url: str,
        status: int,
        outcome: str,
        retry_after: float | None = None,
        *,
        body: bytes = b"",
        date: datetime | None = None,
    ) -> None:
        self.status = status
        self.outcome = outcome
        self.retry_after = retry_after
        self.body = body
        self.date = date
        server_words = f"; the server says: {outcome}" if outcome else ""
        super().__init__(f"{method} {url}: {status}{_ADVICE.get(status, '')}{server_words}")


class UnreachableError(SourceError):
    """No response arrived, or an unreadable one; the server may have processed the request."""


_ADVICE = {
    401: " unauthorised: the credentials are missing, wrong or expired",
    403: " forbidden: these credentials do not permit this; ask the server's team for permission",
    404: " not found: is this the server's FHIR base URL?",
    405: " not allowed on this server",
    410: " gone",
    412: " precondition failed",
    422: " not processable",
}


class _Request(NamedTuple):
    """A request to send. ``form``: the fields of a form; ``body``: FHIR JSON."""

    method: str
    url: str
    form: dict[str, str] | None
    body: bytes | None
    headers: dict[str, str] | None


class _Until(NamedTuple):
    """Until when a request may be tried; ``own``: by a budget of its own, less than the run's."""

    deadline: float
    own: bool


class Client:
    """An HTTP client for one server that reuses its connections.

    ``requests_made`` counts the requests, including retries.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.base = connection.url.rstrip("/")
        self.requests_made = 0
        #: The server's time in its first response; None if it sends none.
        self.first_answered: datetime | None = None
        self._allowed = {origin(self.base), *map(origin, connection.origins)}
        self._session = session(connection)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def allowed(self, url: str) -> bool:
        """Whether a URL has the server's origin, or one that the settings allow."""
        return origin(url) in self._allowed

    def request(
        self,
        method: str,
        url: str,
        *,
        params: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        budget: float | None = None,
    ) -> requests.Response:
        """Send a request and return the response; retry transient failures.

        ``params``: parameters to add to the URL; ``form``: the fields of a form, as of a search by
        POST; ``body``: FHIR JSON; ``budget``: how long to retry this request, in seconds
        (None: as the connection says); what is left of the connection's budget limits it, too.

        Raises:
            HttpError: the server responds with an error status.
            UnreachableError: no response arrived within the budget.
            SourceError: TLS fails, the host does not exist, or a redirect leads to an origin that
                is not allowed.
        """
        until = _Until(
            time.monotonic() + (self.connection.budget if budget is None else budget),
            own=budget is not None,
        )
        if body is not None:
            headers = {"Content-Type": FHIR_JSON, **(headers or {})}
        if params is not None:
            url = requests.Request("GET", url, params=params).prepare().url or url
        request = _Request(method, url, form, body, headers)
        renewed = False
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self._send(request)
            except requests.RequestException as error:
                failure = _connection_failure(error, url, self.connection.deadline)
                transient = isinstance(failure, UnreachableError)
                if transient and self._wait(attempt, until, None):
                    continue
                raise failure from None
            status = response.status_code
            if status not in PASSING:
                self.connection.outage.over()
            if status < 400:
                return response
            if status == 401 and not renewed and self.connection.auth.renew(response.request):
                renewed = True
                continue
            failed = _http_error(request, response)
            if status in PASSING and self._wait(attempt, until, failed.retry_after):
                continue
            raise failed

    def _send(self, request: _Request) -> requests.Response:
        """Send a request and follow its redirects, as long as their origins are allowed."""
        for _ in range(_MOST_REDIRECTS):
            response = self._send_once(request)
            location = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or not location:
                if response.status_code < 400:
                    check_kind(response, self.connection.limits, without_query(request.url))
                return response
            request = request._replace(url=joined(request.url, location))
            if response.status_code == 303:
                request = request._replace(method="GET", form=None, body=None)
        raise SourceError(f"{without_query(request.url)}: too many redirects")

    def _send_once(self, request: _Request) -> requests.Response:
        """Send one request and read the whole response."""
        url = request.url
        self._check_allowed(url)
        content = request.form if request.body is None else request.body
        prepared = self._session.prepare_request(
            requests.Request(request.method, url, data=content, headers=request.headers)
        )
        # The library connects to the URL as it normalises it, which may have another origin.
        self._check_allowed(prepared.url or "")
        self.connection.auth.apply(prepared)
        self.requests_made += 1
        started = time.monotonic()
        response = self._session.send(
            prepared,
            timeout=(self.connection.connect_timeout, self.connection.read_timeout),
            allow_redirects=False,
            **send_settings(self._session, prepared.url or url),
        )
        shown = without_query(url)
        read_whole(response, self.connection.limits, shown)
        seconds = time.monotonic() - started
        LOG.debug("%s %s %d %.3f s", request.method, shown, response.status_code, seconds)
        if self.first_answered is None:
            self.first_answered = _date(response.headers.get("Date"))
        return response

    def _check_allowed(self, url: str) -> None:
        if not self.allowed(url):
            raise SourceError(
                f"{without_query(url)}: the server leads to another origin; not followed"
                " (setting origins allows it)"
            )

    def _wait(self, attempt: int, until: _Until, retry_after: float | None) -> bool:
        """Wait before the next attempt; False, without waiting, if the budget would be exceeded."""
        wait = backoff(attempt) if retry_after is None else retry_after
        budget, outage = self.connection.budget, self.connection.outage
        if not outage.allows(wait, budget, until.deadline, own=until.own):
            return False
        LOG.info("waiting %.1f s before the next attempt", wait)
        time.sleep(wait)
        return True


def backoff(attempt: int) -> float:
    """Return how many seconds to wait after a failed attempt (1, 2, ...).

    Exponential backoff with jitter: at most 0.5 s after the first attempt, 60 s in the end.
    """
    wait: float = min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_WAIT)
    return wait * (0.5 + random.random() / 2)  # noqa: S311  # nosec B311


def retry_after_of(response: requests.Response) -> float | None:
    """Return how many seconds a response asks to wait (``Retry-After``); None if it does not.

    Azure states milliseconds in a header of its own.
    Source: https://app.unpkg.com/@azure/core-rest-pipeline@1.19.1, throttlingRetryStrategy
    """
    retry_after = response.headers.get("Retry-After")
    if not retry_after:
        milliseconds = response.headers.get("x-ms-retry-after-ms", "").strip()
        return float(milliseconds) / 1000 if milliseconds.isdecimal() else None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    when = _date(retry_after)
    return None if when is None else max(0.0, (when - datetime.now(UTC)).total_seconds())


def _date(text: str | None) -> datetime | None:
    """Return the instant in an HTTP header; None if it is absent or unreadable."""
    try:
        when = email.utils.parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _http_error(request: _Request, response: requests.Response) -> HttpError:
    return HttpError(
        request.method,
        without_query(request.url),
        response.status_code,
        outcome_text(response.content) or _challenge(response),
        retry_after_of(response),
        body=response.content,
        date=_date(response.headers.get("Date")),
    )


def _connection_failure(error: requests.RequestException, url: str, deadline: float) -> SourceError:
    """Return the exception for a request that got no response.

    An UnreachableError may be transient; the others are not. ``deadline``: of the response.
    """
    cause = innermost(error)
    shown, problem = without_query(url), _words_of(cause)
    if isinstance(cause, DeadlineError):
        return UnreachableError(
            f"{shown}: the response did not arrive within {deadline:g} s (setting request_deadline)"
        )
    if isinstance(error, requests.exceptions.SSLError):
        return SourceError(
            f"{shown}: TLS failed: {problem}; is the server's certificate authority known (setting"
            " ca_bundle)?"
        )
    if problem.startswith(("NameResolutionError", "gaierror")):
        return SourceError(f"{shown}: no such host; is the URL right?")
    return UnreachableError(f"{shown}: cannot be reached: {problem}")


def innermost(error: BaseException) -> object:
    """Return the innermost cause of a failed request."""
    reason: object = error
    while True:
        inner = getattr(reason, "reason", None) or (
            next((one for one in reason.args if isinstance(one, BaseException)), None)
            if isinstance(reason, Exception)
            else None
        )
        if not isinstance(inner, BaseException):
            return reason
        reason = inner


def _words_of(reason: object) -> str:
    """Return the words of a failed request's cause, without its URL."""
    name = type(reason).__name__
    text = str(reason).rpartition(": ")[2] if isinstance(reason, BaseException) else str(reason)
    return f"{name}: {text}"[:_LONGEST_TEXT]


def _challenge(response: requests.Response) -> str:
    """Return why a server rejects a token (``WWW-Authenticate``). Source: RFC 6750 section 3."""
    header = response.headers.get("WWW-Authenticate", "")
    fields = dict(_CHALLENGE.findall(header)) if header.lower().startswith("bearer") else {}
    texts = [fields[name] for name in ("error", "error_description", "scope") if fields.get(name)]
    return masked(": ".join(texts))[:_LONGEST_TEXT]


def outcome_text(content: bytes) -> str:
    """Return the text of an OperationOutcome, shortened; empty if the content is none.

    Errors come before warnings and advice, which validating servers may list by the dozen.
    """
    issues = sorted(issues_of(content) or (), key=lambda issue: not is_refusal(issue))
    texts = [issue.text for issue in issues if issue.text]
    # Mask before shortening: half a token would not be recognised as a secret.
    return escaped(masked("; ".join(texts)))[:_LONGEST_TEXT]
