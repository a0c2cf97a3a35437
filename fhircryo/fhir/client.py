"""HTTP to a FHIR server: retries, redirects, origins, errors that say what to do.

No query and no token ever stands in a message or a log.
"""

import email.utils
import ipaddress
import logging
import random
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urljoin, urlsplit

import msgspec
import requests

from fhircryo.errors import SourceError
from fhircryo.fhir.connection import FHIR_JSON, Connection, session
from fhircryo.fhir.limits import check_kind, read_whole
from fhircryo.logs import masked

LOG = logging.getLogger("fhircryo.http")

#: Statuses of what may pass.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0
_SHOWN = 300
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class HttpError(SourceError):
    """A server's answer that is no success.

    ``outcome``: what its OperationOutcome says; ``retry_after``: seconds that it asks to wait;
    ``body``: all of it; ``date``: what time the server says that it was.
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
        super().__init__(f"{method} {url}: {status}{_ADVICE.get(status, '')}{_said(outcome)}")


class UnreachableError(SourceError):
    """No answer came, or none that can be read; what was asked may have been done all the same."""


_ADVICE = {
    401: " unauthorised: the credentials are missing, wrong or out of date",
    403: " forbidden: these credentials may not do this; ask the server's team for the right",
    404: " not found: is this the server's FHIR base URL?",
    405: " not allowed on this server",
    410: " gone",
    412: " precondition failed",
    422: " not processable",
}


def _said(outcome: str) -> str:
    return f"; the server says: {outcome}" if outcome else ""


class _Issue(msgspec.Struct):
    diagnostics: str | None = None
    details: dict[str, object] | None = None


class _Outcome(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    issue: list[_Issue] | None = None


def origin(url: str) -> str:
    """Scheme, host and port of a URL; empty where it is none, and so nobody's."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        return ""
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def joined(base: str, link: str) -> str:
    """A link as a URL, where it may be relative; empty where none can be made of it."""
    try:
        return urljoin(base, link)
    except ValueError:
        return ""


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine itself: nobody on the way reads what is sent there."""
    with suppress(ValueError):
        return ipaddress.ip_address(host or "").is_loopback
    return host == "localhost"


def without_query(url: str) -> str:
    """A URL as it may be shown: no query, no user, no fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(no URL)"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


class Client:
    """Speaks to one server over reused connections.

    ``requests_made`` counts them, retries among them; the log names each without its query.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.base = connection.url.rstrip("/")
        self.requests_made = 0
        #: What time the server said that it was in its first answer; None: it does not say.
        self.first_answered: datetime | None = None
        self._allowed = {origin(self.base), *map(origin, connection.origins)}
        self._session = session(connection)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def allowed(self, url: str) -> bool:
        """Whether a URL is of the server itself, or of an origin that was allowed."""
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
        """Send a request; try again what may pass, within the budget (seconds).

        ``params``: of the URL's query; ``form``: those of a search; ``body``: FHIR JSON.

        Raises:
            HttpError: the server refuses.
            SourceError: it cannot be reached, or leads elsewhere.
        """
        deadline = time.monotonic() + (self.connection.budget if budget is None else budget)
        if body is not None:
            headers = {"Content-Type": FHIR_JSON, **(headers or {})}
        if params is not None:
            url = requests.Request("GET", url, params=params).prepare().url or url
        renewed = False
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self._send(method, url, form, body, headers)
            except requests.exceptions.SSLError as error:
                raise SourceError(
                    f"{without_query(url)}: TLS failed: {_cause(error)}; is the server's"
                    " certificate authority known (setting ca_bundle)?"
                ) from None
            except requests.RequestException as error:
                problem = _cause(error)
                if _is_unknown_host(problem):
                    raise SourceError(
                        f"{without_query(url)}: no such host; is the URL right?"
                    ) from None
                if not self._wait(attempt, deadline, None):
                    raise UnreachableError(
                        f"{without_query(url)}: cannot be reached: {problem}"
                    ) from None
                continue
            status = response.status_code
            if status < 400:
                return response
            retry_after = retry_after_of(response)
            if status == 401 and not renewed and self.connection.auth.renew(response.request):
                renewed = True
                continue
            if status in PASSING and self._wait(attempt, deadline, retry_after):
                continue
            raise HttpError(
                method,
                without_query(url),
                status,
                outcome_text(response.content) or _challenge(response),
                retry_after,
                body=response.content,
                date=_date(response.headers.get("Date")),
            )

    def _send(
        self,
        method: str,
        url: str,
        form: dict[str, str] | None,
        body: bytes | None,
        headers: dict[str, str] | None,
    ) -> requests.Response:
        """One request and the redirects that it meets, none of them to a foreign origin."""
        for _ in range(_MOST_REDIRECTS):
            self._check_allowed(url)
            request = self._session.prepare_request(
                requests.Request(method, url, data=form if body is None else body, headers=headers)
            )
            # What is connected to is what requests makes of it, and of some URLs that is another.
            self._check_allowed(request.url or "")
            self.connection.auth.apply(request)
            self.requests_made += 1
            started = time.monotonic()
            settings = self._session.merge_environment_settings(
                request.url or url, {}, None, None, None
            )
            settings["stream"] = True
            settings["verify"] = (
                self._session.verify if self._session.verify is not True else (settings["verify"])
            )
            response = self._session.send(
                request,
                timeout=(self.connection.connect_timeout, self.connection.read_timeout),
                allow_redirects=False,
                **settings,
            )
            read_whole(response, self.connection.limits, without_query(url))
            LOG.debug(
                "%s %s %d %.3f s",
                method,
                without_query(url),
                response.status_code,
                time.monotonic() - started,
            )
            if self.first_answered is None:
                self.first_answered = _date(response.headers.get("Date"))
            location = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or not location:
                if response.status_code < 400:
                    check_kind(response, self.connection.limits, without_query(url))
                return response
            url = joined(url, location)
            if response.status_code == 303:
                method, form, body = "GET", None, None
        raise SourceError(f"{without_query(url)}: too many redirects")

    def _check_allowed(self, url: str) -> None:
        if not self.allowed(url):
            raise SourceError(
                f"{without_query(url)}: the server leads to another origin; not followed"
                " (setting origins allows it)"
            )

    def _wait(self, attempt: int, deadline: float, retry_after: float | None) -> bool:
        """Wait before the next try; False where the budget does not allow it."""
        wait = backoff(attempt) if retry_after is None else retry_after
        if time.monotonic() + wait > deadline:
            return False
        LOG.info("waiting %.1f s before another try", wait)
        time.sleep(wait)
        return True


def backoff(attempt: int) -> float:
    """Seconds to wait after a failed attempt (1, 2, ...): longer each time, with some chance."""
    wait: float = min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_WAIT)
    return wait * (0.5 + random.random() / 2)  # noqa: S311  # nosec B311


def retry_after_of(response: requests.Response) -> float | None:
    """How many seconds an answer asks to wait, in seconds or by a date; None: it does not say."""
    retry_after = response.headers.get("Retry-After")
    if not retry_after:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    when = _date(retry_after)
    return None if when is None else max(0.0, (when - datetime.now(UTC)).total_seconds())


def _date(text: str | None) -> datetime | None:
    """The instant that a header names."""
    try:
        when = email.utils.parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _cause(error: BaseException) -> str:
    """The innermost reason of a failed request; never its URL."""
    reason: object = error
    while True:
        inner = getattr(reason, "reason", None) or (
            reason.args[0] if isinstance(reason, Exception) and reason.args else None
        )
        if not isinstance(inner, BaseException):
            break
        reason = inner
    name = type(reason).__name__
    text = str(reason).rpartition(": ")[2] if isinstance(reason, BaseException) else str(reason)
    return f"{name}: {text}"[:_SHOWN]


def _is_unknown_host(problem: str) -> bool:
    return problem.startswith(("NameResolutionError", "gaierror"))


def _challenge(response: requests.Response) -> str:
    """What a server says of the token that it refuses. Source: RFC 6750 section 3."""
    header = response.headers.get("WWW-Authenticate", "")
    found = dict(_CHALLENGE.findall(header)) if header.lower().startswith("bearer") else {}
    said = [found[name] for name in ("error", "error_description", "scope") if found.get(name)]
    return masked(": ".join(said))[:_SHOWN]


def outcome_text(content: bytes) -> str:
    """What an OperationOutcome says, shortened; empty where the content is none."""
    try:
        outcome = msgspec.json.decode(content, type=_Outcome)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    texts = []
    for issue in outcome.issue or ():
        text = issue.diagnostics or (issue.details or {}).get("text")
        if text:
            texts.append(str(text))
    # Masked before it is cut: a half of a token is no secret that anybody knows.
    return masked("; ".join(texts))[:_SHOWN]
