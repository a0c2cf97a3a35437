"""Tokens by OAuth 2.0 client credentials: requested when needed, renewed before they expire.

Tokens are kept in memory only. ``ClientCredentials`` takes the token endpoint from the settings;
``SmartBackend`` reads it from the server's SMART configuration.
"""

import logging
import threading
import time
from typing import Protocol

import requests

from fhircryo.errors import SignInError
from fhircryo.fhir.auth.assertion import ClientAuthentication, PrivateKeyJwt
from fhircryo.fhir.auth.credentials import bearer
from fhircryo.fhir.auth.discovery import SmartConfiguration, date_of, discover, endpoint_of
from fhircryo.fhir.auth.scopes import Needs, missing, scopes_for
from fhircryo.fhir.auth.token_endpoint import (
    Token,
    TokenEndpoint,
    UnavailableError,
    check_token_url,
)
from fhircryo.fhir.connection import Connection

LOG = logging.getLogger("fhircryo.auth")

#: A token is renewed when a fifth of its lifetime is left, or one minute if that is less.
_MARGIN_SHARE = 0.2
_MARGIN_SECONDS = 60.0
#: How long a token request is retried while there is no valid token.
_PATIENCE_SECONDS = 60.0
#: How long after a failed renewal the next one is tried, while the old token is still valid.
_RETRY_SECONDS = 5.0


class Grant(Protocol):
    """A way to obtain tokens."""

    @property
    def authentication(self) -> ClientAuthentication:
        """How the client authenticates at the token endpoint."""

    def endpoint(self) -> TokenEndpoint:
        """Return the token endpoint; it is looked up on the first call only.

        Raises:
            SignInError: the token endpoint cannot be found, or must not be used.
        """


class ClientCredentials:
    """Obtains tokens from the endpoint, and with the scopes, that the settings name."""

    def __init__(
        self,
        token_url: str,
        connection: Connection,
        authentication: ClientAuthentication,
        scopes: tuple[str, ...],
    ) -> None:
        check_token_url(token_url, "token_url")
        self.authentication = authentication
        self._endpoint = TokenEndpoint(
            token_url, connection, authentication, scopes, lambda: date_of(connection)
        )

    def endpoint(self) -> TokenEndpoint:
        """Return the token endpoint."""
        return self._endpoint


class SmartBackend:
    """Obtains tokens as SMART Backend Services: the server names the endpoint and scope syntax.

    ``needs``: what the command does on the server; ``scopes``: the scopes to request instead of
    those that the needs require; ``token_url``: the token endpoint instead of the one that the
    server names; ``origins``: where that may be, besides the server's own origin.
    """

    def __init__(
        self,
        connection: Connection,
        authentication: PrivateKeyJwt,
        needs: Needs,
        *,
        scopes: tuple[str, ...] = (),
        token_url: str | None = None,
        origins: frozenset[str] = frozenset(),
    ) -> None:
        if token_url is not None:
            check_token_url(token_url, "token_url")
        self._connection = connection
        self.authentication = authentication
        self._needs = needs
        self._scopes = scopes
        self._token_url = token_url
        self._origins = origins
        self._endpoint: TokenEndpoint | None = None
        self._configuration: SmartConfiguration | None = None
        self._configuration_read = False

    def configuration(self) -> SmartConfiguration | None:
        """Return the server's SMART configuration, read on the first call; None if it has none.

        Raises:
            SignInError: the server's answer is not a SMART configuration.
            SourceError: the server cannot be reached.
        """
        if not self._configuration_read:
            self._configuration = discover(self._connection)
            self._configuration_read = True
        return self._configuration

    def _configuration_for_scopes(self) -> SmartConfiguration | None:
        """Return the SMART configuration if it is needed, which is only for the scope syntax.

        None if the settings name the scopes, or if the server's answer is not a configuration.
        """
        if self._scopes:
            return None
        try:
            return self.configuration()
        except SignInError:
            return None

    def endpoint(self) -> TokenEndpoint:
        """Return the token endpoint; it is looked up on the first call only."""
        if self._endpoint is None:
            self._endpoint = self._find_endpoint()
        return self._endpoint

    def _find_endpoint(self) -> TokenEndpoint:
        connection = self._connection
        if self._token_url is None:
            configuration = self.configuration()
            url = endpoint_of(configuration, connection, self._origins)
            check_token_url(url, "")
        else:
            configuration = self._configuration_for_scopes()
            url = self._token_url
        version = configuration.scopes_version if configuration is not None else "v2"
        scopes = self._scopes or scopes_for(self._needs, version)
        return TokenEndpoint(
            url, connection, self.authentication, scopes, lambda: date_of(connection)
        )


class OAuth2:
    """Sends a token that all threads share; one thread renews it while the others wait.

    ``needs``: what the command does on the server; a warning is logged if less was granted.
    """

    def __init__(self, grant: Grant, needs: Needs | None = None) -> None:
        self._grant = grant
        self._needs = needs or {}
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._renew_at = 0.0
        self._warned = False

    def apply(self, request: requests.PreparedRequest) -> None:
        """Add the Authorization header with a valid token.

        Raises:
            SignInError: no token can be obtained.
        """
        request.headers["Authorization"] = bearer(self._current().value)

    def renew(self, refused: requests.PreparedRequest, /) -> bool:
        """Discard the refused token, unless it has been replaced already; return True."""
        with self._lock:
            sent = refused.headers.get("Authorization")
            if self._token is not None and sent == bearer(self._token.value):
                LOG.info("the server rejected the token; requesting a new one")
                self._token = None
        return True

    def _current(self) -> Token:
        with self._lock:
            token = self._token
            if token is None or time.monotonic() >= self._renew_at:
                token = self._renewed(token)
            return token

    def _renewed(self, old: Token | None) -> Token:
        still_valid = old is not None and time.monotonic() < old.requested_at + old.lasts
        try:
            token = self._grant.endpoint().token(0.0 if still_valid else _PATIENCE_SECONDS)
        except UnavailableError as error:
            if old is None or not still_valid:
                raise
            LOG.warning("the token could not be renewed yet: %s", error)
            self._renew_at = time.monotonic() + min(_RETRY_SECONDS, old.lasts * _MARGIN_SHARE)
            return old
        self._warn_of_missing_scopes(token)
        self._token = token
        margin = min(_MARGIN_SECONDS, token.lasts * _MARGIN_SHARE)
        self._renew_at = token.requested_at + token.lasts - margin
        return token

    def _warn_of_missing_scopes(self, token: Token) -> None:
        if token.scopes is None or self._warned:
            return
        lacking = missing(self._needs, token.scopes)
        if lacking:
            self._warned = True
            LOG.warning(
                "the server granted fewer scopes than were requested; missing: %s",
                " ".join(scopes_for(lacking, "v2")),
            )
