"""Requests tokens from a token endpoint. Source: RFC 6749 section 4.4."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import msgspec

from fhircryo.errors import SignInError, UsageError
from fhircryo.fhir.auth.assertion import ClientAuthentication, PrivateKeyJwt
from fhircryo.fhir.auth.credentials import NoAuth, is_token
from fhircryo.fhir.auth.token_errors import ErrorResponse, TokenRequest, explain
from fhircryo.fhir.client import PASSING, Client, HttpError, UnreachableError, backoff
from fhircryo.fhir.connection import Connection
from fhircryo.fhir.limits import Limits
from fhircryo.fhir.urls import is_loopback, origin, without_query
from fhircryo.logs import keep_secret, masked

LOG = logging.getLogger("fhircryo.auth")

_JSON = {"Accept": "application/json"}
#: The lifetime that is assumed if a response states none: the longest that SMART recommends.
_DEFAULT_LIFETIME_SECONDS = 300.0
#: The response of a token endpoint is never larger than this.
_LIMITS = Limits(megabytes=1, depth=20)
_LONGEST_DESCRIPTION = 300


class _TokenBody(msgspec.Struct):
    access_token: str | None = None
    token_type: str | None = None
    expires_in: float | str | None = None
    scope: str | list[str] | None = None


class _ErrorBody(msgspec.Struct):
    error: str | None = None
    error_description: str | None = None
    error_uri: str | None = None

    def description(self) -> str:
        """Return what the server says besides the error code; Oracle Health says it in the URI."""
        uri = unquote(without_query(self.error_uri)) if self.error_uri else ""
        text = " ".join(part for part in (self.error_description, uri) if part)
        return masked(text)[:_LONGEST_DESCRIPTION]


@dataclass(frozen=True)
class Token:
    """A token.

    ``requested_at``: when it was requested, by the monotonic clock; ``lasts``: its lifetime in
    seconds from then; ``scopes``: the granted scopes, None if the response does not state them.
    """

    value: str
    lasts: float
    requested_at: float
    scopes: tuple[str, ...] | None

    def __repr__(self) -> str:
        return f"Token(lasts {self.lasts} s)"


class UnavailableError(SignInError):
    """The token endpoint does not answer at present; a later request may succeed."""


def check_token_url(url: str, named_by: str) -> None:
    """Check that secrets and assertions would reach a token endpoint encrypted.

    ``named_by``: the setting that names the URL; empty if the server names it.

    Raises:
        UsageError: the setting is not an https URL (or an http URL of this machine).
        SignInError: the URL that the server names is not.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and is_loopback(parts.hostname):
        return
    problem = (
        "a token endpoint of plain http, over which secrets are never sent; use its https URL"
        if parts.scheme == "http" and parts.hostname
        else "not the URL of a token endpoint"
    )
    if named_by:
        raise UsageError(f"setting {named_by}: {without_query(url)}: {problem}")
    raise SignInError(f"{without_query(url)}, which the server names: {problem}")


def token_connection(url: str, connection: Connection) -> Connection:
    """Return the connection to a token endpoint, made from the connection to its FHIR server.

    It sends no credentials and follows no redirects to other origins. The headers that a site sets
    may contain secrets, so they are sent only if the endpoint has the server's origin.
    """
    same = origin(url) == origin(connection.url)
    headers = dict(connection.headers) if same else {}
    return replace(
        connection, url=url, auth=NoAuth(), headers=headers, origins=frozenset(), limits=_LIMITS
    )


class TokenEndpoint:
    """A token endpoint that issues tokens to one client."""

    def __init__(
        self,
        url: str,
        connection: Connection,
        authentication: ClientAuthentication,
        scopes: tuple[str, ...],
        server_date: Callable[[], datetime | None],
    ) -> None:
        """``server_date``: returns the FHIR server's time, if the token endpoint sends none."""
        self.url = url
        self.authentication = authentication
        self.scopes = scopes
        self._connection = token_connection(url, connection)
        self._server_date = server_date
        self._succeeded_before = False

    def token(self, patience: float) -> Token:
        """Request a token; retry transient failures, each time with a new proof.

        ``patience``: how long to retry, in seconds.

        Raises:
            SignInError: the token endpoint refuses.
            UnavailableError: the token endpoint does not answer.
        """
        budget, outage = self._connection.budget, self._connection.outage
        deadline = time.monotonic() + min(patience, budget)
        client = Client(self._connection)
        attempt = 0
        try:
            while True:
                attempt += 1
                try:
                    token = self._request_token(client)
                except HttpError as error:
                    if error.status not in PASSING:
                        raise self._refusal(error) from None
                    problem, retry_after = str(error), error.retry_after
                except UnreachableError as error:
                    problem, retry_after = str(error), None
                else:
                    self._succeeded_before = True
                    return token
                wait = backoff(attempt) if retry_after is None else retry_after
                if not outage.allows(wait, budget, deadline, own=True):
                    raise UnavailableError(f"the token endpoint does not answer: {problem}")
                LOG.info("requesting a token again in %.1f s", wait)
                time.sleep(wait)
        finally:
            client.close()

    def _request_token(self, client: Client) -> Token:
        form = {"grant_type": "client_credentials"}
        if self.scopes:
            form["scope"] = " ".join(self.scopes)
        proof = self.authentication.prove(self.url)
        form |= proof.form
        headers = {**_JSON, **proof.headers}
        requested_at = time.monotonic()
        response = client.request("POST", self.url, form=form, headers=headers, budget=0)
        try:
            body = msgspec.json.decode(response.content, type=_TokenBody)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise SignInError(
                f"{without_query(self.url)}: not a token endpoint: the response is not JSON with a"
                " token"
            ) from None
        if not body.access_token or not is_token(body.access_token):
            raise SignInError(f"{without_query(self.url)}: the response contains no token")
        keep_secret(body.access_token, fleeting=True)
        if (body.token_type or "bearer").lower() != "bearer":
            raise SignInError(
                f"{without_query(self.url)}: the token is of type"
                f" {masked(body.token_type or '')[:40]!r}; only bearer tokens are supported"
            )
        lifetime = body.expires_in or f"{_DEFAULT_LIFETIME_SECONDS:.0f} (not stated)"
        LOG.info("received a new token, valid for %s s", lifetime)
        scopes = _granted_scopes(body.scope)
        return Token(body.access_token, _lifetime(body.expires_in), requested_at, scopes)

    def _refusal(self, error: HttpError) -> SignInError:
        """Return the exception that explains an error response of the token endpoint."""
        try:
            body = msgspec.json.decode(error.body, type=_ErrorBody)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            body = _ErrorBody()
        method = self.authentication
        kid, audience, clock_ahead = "", None, None
        if isinstance(method, PrivateKeyJwt):
            kid, audience = method.key.kid, method.audience
            clock_ahead = self._clock_ahead(error)
        description = body.description()
        response = ErrorResponse(error.status, body.error or "", description, clock_ahead)
        request = TokenRequest(
            method.client_id,
            method.method,
            kid,
            self.scopes,
            audience or self.url,
            self._succeeded_before,
        )
        words = " ".join(part for part in (masked(body.error or "")[:80], description) if part)
        return SignInError(
            f"{without_query(self.url)}: refused ({error.status} {words or 'without a reason'}):"
            f" {explain(response, request)}"
        )

    def _clock_ahead(self, error: HttpError) -> float | None:
        """Return by how many seconds our clock is ahead of the server's; None if not known."""
        server_time = error.date or self._server_date()
        if server_time is None:
            return None
        return time.time() - server_time.astimezone(UTC).timestamp()


def _granted_scopes(scope: str | list[str] | None) -> tuple[str, ...] | None:
    """Return the granted scopes; some servers write them as a list."""
    if scope is None:
        return None
    return tuple(scope.split() if isinstance(scope, str) else scope)


def _lifetime(expires_in: float | str | None) -> float:
    """Return the lifetime of a token in seconds; some servers write the number as text."""
    try:
        seconds = float(expires_in) if expires_in is not None else _DEFAULT_LIFETIME_SECONDS
    except ValueError:
        return _DEFAULT_LIFETIME_SECONDS
    return seconds if seconds > 0 else _DEFAULT_LIFETIME_SECONDS
