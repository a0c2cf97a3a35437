"""Asks a token endpoint for a token. Source: RFC 6749 section 4.4."""

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
from fhircryo.fhir.auth.refusals import Asked, Refusal, meaning
from fhircryo.fhir.client import (
    PASSING,
    Client,
    HttpError,
    UnreachableError,
    backoff,
    is_loopback,
    origin,
    without_query,
)
from fhircryo.fhir.connection import Connection
from fhircryo.fhir.limits import Limits
from fhircryo.logs import keep_secret, masked

LOG = logging.getLogger("fhircryo.auth")

_JSON = {"Accept": "application/json"}
#: Seconds that a token lasts whose answer does not say: what SMART recommends at most.
_LIFETIME = 300.0
#: Nothing that a token endpoint says is longer.
_LIMITS = Limits(megabytes=1, depth=20)
_SHOWN = 300


class _Answer(msgspec.Struct):
    access_token: str | None = None
    token_type: str | None = None
    expires_in: float | str | None = None
    scope: str | list[str] | None = None


class _Error(msgspec.Struct):
    error: str | None = None
    error_description: str | None = None
    error_uri: str | None = None

    def words(self) -> str:
        """What is said beside the error's name; Oracle Health says it in the URL only."""
        uri = unquote(without_query(self.error_uri)) if self.error_uri else ""
        return masked(" ".join(part for part in (self.error_description, uri) if part))[:_SHOWN]


@dataclass(frozen=True)
class Token:
    """A token. ``lasts``: seconds from when it was asked for; ``scopes``: None, if not said."""

    value: str
    lasts: float
    asked: float
    scopes: tuple[str, ...] | None

    def __repr__(self) -> str:
        return f"Token(lasts {self.lasts} s)"


class UnavailableError(SignInError):
    """The token endpoint does not answer now; later it may."""


def check_token_url(url: str, named_by: str) -> None:
    """Refuse a token endpoint that a secret or an assertion would go to in the clear.

    ``named_by``: the setting that names it; empty where the server itself does.

    Raises:
        UsageError, SignInError: it is of plain http, or no URL.
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
    raise SignInError(f"{without_query(url)}: named by the server: {problem}")


def token_connection(url: str, connection: Connection) -> Connection:
    """How a token endpoint is reached: as the server, without credentials, leading nowhere else.

    The headers that a site sets may be secrets for the server; another origin does not get them.
    """
    same = origin(url) == origin(connection.url)
    headers = dict(connection.headers) if same else {}
    return replace(
        connection, url=url, auth=NoAuth(), headers=headers, origins=frozenset(), limits=_LIMITS
    )


class TokenEndpoint:
    """One token endpoint, for one client."""

    def __init__(
        self,
        url: str,
        connection: Connection,
        authentication: ClientAuthentication,
        scopes: tuple[str, ...],
        server_date: Callable[[], datetime | None],
    ) -> None:
        """``server_date``: what time the FHIR server says that it is, where this one says none."""
        self.url = url
        self.authentication = authentication
        self.scopes = scopes
        self._connection = token_connection(url, connection)
        self._server_date = server_date
        self._before = False

    def token(self, patience: float) -> Token:
        """Ask for a token; what may pass is tried again for some seconds, with a new proof each.

        Raises:
            SignInError: refused.
            UnavailableError: it does not answer.
        """
        deadline = time.monotonic() + min(patience, self._connection.budget)
        client = Client(self._connection)
        attempt = 0
        try:
            while True:
                attempt += 1
                try:
                    token = self._ask(client)
                except HttpError as error:
                    if error.status not in PASSING:
                        raise self._refused(error) from None
                    problem, asked = str(error), error.retry_after
                except UnreachableError as error:
                    problem, asked = str(error), None
                else:
                    self._before = True
                    return token
                wait = backoff(attempt) if asked is None else asked
                if time.monotonic() + wait > deadline:
                    raise UnavailableError(f"the token endpoint does not answer: {problem}")
                LOG.info("asking for a token again in %.1f s", wait)
                time.sleep(wait)
        finally:
            client.close()

    def _ask(self, client: Client) -> Token:
        form = {"grant_type": "client_credentials"}
        if self.scopes:
            form["scope"] = " ".join(self.scopes)
        proof = self.authentication.prove(self.url)
        form |= proof.form
        headers = {**_JSON, **proof.headers}
        asked = time.monotonic()
        response = client.request("POST", self.url, form=form, headers=headers, budget=0)
        try:
            answer = msgspec.json.decode(response.content, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise SignInError(
                f"{without_query(self.url)}: not a token endpoint: its answer is no token in JSON"
            ) from None
        if not answer.access_token or not is_token(answer.access_token):
            raise SignInError(f"{without_query(self.url)}: there is no token in its answer")
        keep_secret(answer.access_token, fleeting=True)
        if (answer.token_type or "bearer").lower() != "bearer":
            raise SignInError(
                f"{without_query(self.url)}: it gives a token of type"
                f" {masked(answer.token_type or '')[:40]!r}; only bearer tokens are understood"
            )
        LOG.info("a new token, for %s s", answer.expires_in or f"{_LIFETIME:.0f} (not said)")
        return Token(answer.access_token, _seconds(answer.expires_in), asked, _scopes(answer.scope))

    def _refused(self, error: HttpError) -> SignInError:
        try:
            said = msgspec.json.decode(error.body, type=_Error)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            said = _Error()
        proof = self.authentication
        signs = isinstance(proof, PrivateKeyJwt)
        description = said.words()
        refusal = Refusal(
            error.status,
            said.error or "",
            description,
            self._clock(error) if signs else None,
        )
        asked = Asked(
            proof.client_id,
            proof.method,
            proof.key.kid if isinstance(proof, PrivateKeyJwt) else "",
            self.scopes,
            (proof.audience if isinstance(proof, PrivateKeyJwt) else None) or self.url,
            self._before,
        )
        words = " ".join(part for part in (masked(said.error or "")[:80], description) if part)
        return SignInError(
            f"{without_query(self.url)}: refused ({error.status} {words or 'without a reason'}):"
            f" {meaning(refusal, asked)}"
        )

    def _clock(self, error: HttpError) -> float | None:
        """Seconds that our clock is ahead of theirs; None where nobody says what time it is."""
        theirs = error.date or self._server_date()
        return None if theirs is None else time.time() - theirs.astimezone(UTC).timestamp()


def _scopes(scope: str | list[str] | None) -> tuple[str, ...] | None:
    """The scopes granted; some servers write them as a list."""
    if scope is None:
        return None
    return tuple(scope.split() if isinstance(scope, str) else scope)


def _seconds(expires_in: float | str | None) -> float:
    """How long a token lasts; some servers write the number as text."""
    try:
        seconds = float(expires_in) if expires_in is not None else _LIFETIME
    except ValueError:
        return _LIFETIME
    return seconds if seconds > 0 else _LIFETIME
