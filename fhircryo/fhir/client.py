"""HTTP to a FHIR server: retries, redirects, origins, errors that say what to do.

No query and no token ever stands in a message or a log.
"""

import email.utils
import logging
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import msgspec
import requests

from fhircryo.errors import SourceError
from fhircryo.fhir.auth import Auth, NoAuth
from fhircryo.version import __version__

LOG = logging.getLogger("fhircryo.http")

#: Statuses of what may pass.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0
_SHOWN = 300
_FHIR_JSON = "application/fhir+json"


@dataclass(frozen=True)
class Connection:
    """How a server is reached. Times in seconds.

    ``budget``: how long one request may be tried again in all; ``origins``: besides the server's
    own, where links and redirects may lead.
    """

    url: str
    auth: Auth = field(default_factory=NoAuth)
    headers: dict[str, str] = field(default_factory=dict)
    connect_timeout: float = 10.0
    read_timeout: float = 120.0
    budget: float = 300.0
    page_size: int = 500
    verify_tls: bool = True
    ca_bundle: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    origins: frozenset[str] = frozenset()


class HttpError(SourceError):
    """A server's answer that is no success.

    ``outcome``: what its OperationOutcome says; ``retry_after``: seconds that it asks to wait.
    """

    def __init__(
        self, method: str, url: str, status: int, outcome: str, retry_after: float | None = None
    ) -> None:
        self.status = status
        self.outcome = outcome
        self.retry_after = retry_after
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
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def without_query(url: str) -> str:
    """A URL as it may be shown: no query, no user, no fragment."""
    parts = urlsplit(url)
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
        self._session = requests.Session()
        # A proxy of the environment stays in use; credentials of a .netrc file never are.
        self._session.auth = _no_netrc
        self._session.verify = (
            str(connection.ca_bundle)
            if connection.ca_bundle and connection.verify_tls
            else connection.verify_tls
        )
        if connection.client_certificate is not None:
            pair = (connection.client_certificate, connection.client_key)
            self._session.cert = (
                (str(pair[0]), str(pair[1])) if pair[1] is not None else str(pair[0])
            )
        self._session.headers.update(
            {
                "Accept": _FHIR_JSON,
                "User-Agent": f"fhircryo/{__version__}",
                **connection.headers,
            }
        )

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
        form: dict[str, str] | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        budget: float | None = None,
    ) -> requests.Response:
        """Send a request; try again what may pass, within the budget (seconds).

        ``body``: FHIR JSON; ``form``: the parameters of a search.

        Raises:
            HttpError: the server refuses.
            SourceError: it cannot be reached, or leads elsewhere.
        """
        deadline = time.monotonic() + (self.connection.budget if budget is None else budget)
        if body is not None:
            headers = {"Content-Type": _FHIR_JSON, **(headers or {})}
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
            retry_after = _seconds(response.headers.get("Retry-After"))
            if status == 401 and not renewed and self.connection.auth.renew():
                renewed = True
                continue
            if status in PASSING and self._wait(attempt, deadline, retry_after):
                continue
            said = outcome_text(response.content)
            raise HttpError(method, without_query(url), status, said, retry_after)

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
            if not self.allowed(url):
                raise SourceError(
                    f"{without_query(url)}: the server leads to another origin; not followed"
                    " (setting origins allows it)"
                )
            request = self._session.prepare_request(
                requests.Request(method, url, data=form if body is None else body, headers=headers)
            )
            self.connection.auth.apply(request)
            self.requests_made += 1
            started = time.monotonic()
            settings = self._session.merge_environment_settings(
                request.url or url, {}, None, None, None
            )
            settings["verify"] = (
                self._session.verify if self._session.verify is not True else (settings["verify"])
            )
            response = self._session.send(
                request,
                timeout=(self.connection.connect_timeout, self.connection.read_timeout),
                allow_redirects=False,
                **settings,
            )
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
                return response
            url = urljoin(url, location)
            if response.status_code == 303:
                method, form, body = "GET", None, None
        raise SourceError(f"{without_query(url)}: too many redirects")

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


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _seconds(retry_after: str | None) -> float | None:
    """What a Retry-After header asks for: seconds, or a date."""
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


def outcome_text(content: bytes) -> str:
    """What an OperationOutcome says, shortened; empty where the content is none."""
    try:
        outcome = msgspec.json.decode(content, type=_Outcome)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    texts = []
    for issue in outcome.issue or ():
        text = issue.diagnostics or (issue.details or {}).get("text")
        if text:
            texts.append(str(text))
    return "; ".join(texts)[:_SHOWN]
