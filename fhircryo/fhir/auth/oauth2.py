"""Tokens by OAuth 2.0 client credentials: fetched when needed, renewed in time, kept in memory.

``ClientCredentials`` is told the token endpoint; ``SmartBackend`` finds it at the server.
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

#: A token is renewed when a fifth of its life is left, or a minute of a long one.
_SHARE = 0.2
_MARGIN = 60.0
#: Seconds for which a token endpoint is tried again while nothing can be done without a token.
_PATIENCE = 60.0
#: Seconds until a renewal that did not work is tried again, while the old token is still good.
_AGAIN = 5.0


class Grant(Protocol):
    """A way to a token."""

    @property
    def authentication(self) -> ClientAuthentication:
        """How the client proves who it is."""

    def endpoint(self) -> TokenEndpoint:
        """Where tokens are asked for; found the first time.

        Raises:
            SignInError: it cannot be found, or must not be used.
        """


class ClientCredentials:
    """The token endpoint and the scopes are settings."""

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
        """Where tokens are asked for."""
        return self._endpoint


class SmartBackend:
    """The server's SMART configuration says where, and how scopes are written there.

    ``needs``: what the command does; ``scopes``: asked for instead, where a site sets them;
    ``token_url``: where it is set; ``origins``: besides the server's own, where it may be found.
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
        self._found: TokenEndpoint | None = None
        self._configuration: SmartConfiguration | None = None
        self._asked = False

    def configuration(self) -> SmartConfiguration | None:
        """What the server says of signing in; read the first time, None where it says nothing.

        Raises:
            SourceError: as ``discover``.
        """
        if not self._asked:
            self._configuration = discover(self._connection)
            self._asked = True
        return self._configuration

    def _configuration_if_any(self) -> SmartConfiguration | None:
        """What is only of use for the version of scopes, and so may be none, or no JSON."""
        if self._scopes:
            return None
        try:
            return self.configuration()
        except SignInError:
            return None

    def endpoint(self) -> TokenEndpoint:
        """Where tokens are asked for; found the first time."""
        if self._found is None:
            self._found = self._find()
        return self._found

    def _find(self) -> TokenEndpoint:
        connection = self._connection
        if self._token_url is None:
            known = self.configuration()
            url = endpoint_of(known, connection, self._origins)
            check_token_url(url, "")
        else:
            known = self._configuration_if_any()
            url = self._token_url
        version = known.scopes_version if known is not None else "v2"
        scopes = self._scopes or scopes_for(self._needs, version)
        return TokenEndpoint(
            url, connection, self.authentication, scopes, lambda: date_of(connection)
        )


class OAuth2:
    """A token for the requests of all threads: whoever comes first renews it, the others wait.

    ``needs``: what is told of, where less was granted.
    """

    def __init__(self, grant: Grant, needs: Needs | None = None) -> None:
        self._grant = grant
        self._needs = needs or {}
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._renew_at = 0.0
        self._told = False

    def apply(self, request: requests.PreparedRequest) -> None:
        """Add the Authorization header, with a token that still lasts.

        Raises:
            SignInError: there is none to be had.
        """
        request.headers["Authorization"] = bearer(self._current().value)

    def renew(self, refused: requests.PreparedRequest, /) -> bool:
        """Have the next request ask for another token, unless there is another one by now."""
        with self._lock:
            sent = refused.headers.get("Authorization")
            if self._token is not None and sent == bearer(self._token.value):
                LOG.info("the server refuses the token; asking for another")
                self._token = None
        return True

    def _current(self) -> Token:
        with self._lock:
            token = self._token
            if token is None or time.monotonic() >= self._renew_at:
                token = self._renewed(token)
            return token

    def _renewed(self, old: Token | None) -> Token:
        still_good = old is not None and time.monotonic() < old.asked + old.lasts
        try:
            token = self._grant.endpoint().token(0.0 if still_good else _PATIENCE)
        except UnavailableError as error:
            if old is None or not still_good:
                raise
            LOG.warning("the token could not be renewed yet: %s", error)
            self._renew_at = time.monotonic() + min(_AGAIN, old.lasts * _SHARE)
            return old
        self._tell_missing(token)
        self._token = token
        self._renew_at = token.asked + token.lasts - min(_MARGIN, token.lasts * _SHARE)
        return token

    def _tell_missing(self, token: Token) -> None:
        if token.scopes is None or self._told:
            return
        lacking = missing(self._needs, token.scopes)
        if lacking:
            self._told = True
            LOG.warning(
                "the server granted less than was asked for; missing: %s",
                " ".join(scopes_for(lacking, "v2")),
            )
