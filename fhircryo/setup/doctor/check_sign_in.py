"""Checks signing in to a server step by step: what is sent and received, with secrets masked."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fhircryo.errors import SignInError, SourceError
from fhircryo.fhir.auth.credentials import BearerAuth
from fhircryo.fhir.auth.from_settings import grant, signed_in
from fhircryo.fhir.auth.scopes import Needs, missing, scopes_for
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.connect import connection_to
from fhircryo.fhir.connection import Connection
from fhircryo.fhir.urls import without_query
from fhircryo.logs import MASK
from fhircryo.settings import ServerSettings
from fhircryo.setup.doctor.check import (
    FORBIDDEN,
    CheckResult,
    clock,
    failed,
    not_tried,
    ok,
    warning,
)

if TYPE_CHECKING:
    from fhircryo.fhir.auth.oauth2 import SmartBackend

_PART = "sign-in"
#: The ways of signing in by which a token endpoint issues a token.
_BY_TOKEN_ENDPOINT = frozenset({"oauth2", "smart-backend"})


def sign_in_checks(url: str, settings: ServerSettings, needs: Needs) -> Iterator[CheckResult]:
    """Check each step of signing in; the first step that fails is the last.

    ``needs``: the interactions that are needed, by resource type.

    Raises:
        UsageError: the settings contradict each other.
    """
    connection = connection_to(url, settings)
    yield ok(_PART, "settings", f"auth = {settings.auth}, at {without_query(url)}")
    if settings.auth == "none":
        yield warning(
            _PART, "credentials", "none are sent", "set auth, if the server requires credentials"
        )
    elif settings.auth in _BY_TOKEN_ENDPOINT:
        steps = _TokenSteps(connection, settings, needs)
        yield from steps.results()
        if steps.connection is None:
            return
        connection = steps.connection
    else:
        connection = signed_in(connection, settings, needs)
        yield ok(_PART, "credentials", f"{_secret_origin(settings)}: {MASK}")
    yield from _request(connection, next(iter(sorted(needs))))


def _secret_origin(settings: ServerSettings) -> str:
    """The file, variable or command from which a password or token comes."""
    command = " ".join(settings.token_command[:1])
    found = (
        settings.password_file or settings.password_env
        if settings.auth == "basic"
        else settings.token_file or settings.token_env or command
    )
    return str(found)


class _TokenSteps:
    """The steps to a token; ``connection``: one that sends the token, once there is one."""

    def __init__(self, connection: Connection, settings: ServerSettings, needs: Needs) -> None:
        self.connection: Connection | None = None
        self._plain = connection
        self._settings = settings
        self._needs = needs

    def results(self) -> Iterator[CheckResult]:
        from fhircryo.fhir.auth.assertion import PrivateKeyJwt
        from fhircryo.fhir.auth.oauth2 import SmartBackend

        method = grant(self._plain, self._settings, self._needs)
        proof = method.authentication
        if isinstance(proof, PrivateKeyJwt):
            key = proof.key
            yield ok(
                _PART,
                "key",
                f"{self._settings.key_file}: {key.size}, signs {key.algorithm}, kid {key.kid}",
            )
        else:
            place = self._settings.client_secret_file or self._settings.client_secret_env
            yield ok(_PART, "secret", f"{place}: {MASK}")
        try:
            if isinstance(method, SmartBackend):
                yield from self._discovery(method)
            endpoint = method.endpoint()
        except SourceError as error:
            yield failed(_PART, "token endpoint", str(error), "")
            return
        yield ok(_PART, "token endpoint", without_query(endpoint.url))
        yield ok(_PART, "scopes requested", " ".join(endpoint.scopes) or "none")
        if isinstance(proof, PrivateKeyJwt):
            yield ok(_PART, "assertion", _claims_text(proof.claims(endpoint.url)))
        else:
            yield ok(_PART, "proof", f"{proof.method}, client {proof.client_id}, {MASK}")
        try:
            token = endpoint.token(0.0)
        except SourceError as error:
            yield failed(_PART, "token", str(error), "")
            return
        yield ok(_PART, "token", f"{MASK}, for {token.lasts:.0f} s")
        if token.scopes is not None:
            yield self._granted(token.scopes)
        self.connection = replace(self._plain, auth=BearerAuth(lambda: token.value))

    def _discovery(self, method: "SmartBackend") -> Iterator[CheckResult]:
        place = ".well-known/smart-configuration"
        try:
            known = method.configuration()
        except SignInError as error:
            if self._settings.token_url is None:
                raise
            yield warning(_PART, "discovery", str(error), "nothing to do, if signing in works")
            return
        if known is None:
            words = "token_url is set" if self._settings.token_url else "none"
            yield warning(
                _PART, "discovery", f"no {place} ({words})", "nothing to do, if signing in works"
            )
            return
        yield ok(
            _PART,
            "discovery",
            f"{place}: scopes {known.scopes_version}, {' '.join(known.capabilities or ()) or '-'}",
        )
        algorithm = method.authentication.key.algorithm
        for name, listed, ours in (
            ("method", known.token_endpoint_auth_methods_supported, "private_key_jwt"),
            ("algorithm", known.token_endpoint_auth_signing_alg_values_supported, algorithm),
            ("grant", known.grant_types_supported, "client_credentials"),
        ):
            if listed is not None and ours not in listed:
                yield warning(
                    _PART,
                    name,
                    f"the server lists {' '.join(listed) or 'none'}, but not {ours}",
                    "ask the server's team, if no token is issued",
                )

    def _granted(self, scopes: tuple[str, ...]) -> CheckResult:
        lacking = {} if self._settings.scopes else missing(self._needs, scopes)
        if self._settings.auth == "oauth2" or not lacking:
            return ok(_PART, "scopes granted", " ".join(scopes) or "none named")
        return warning(
            _PART,
            "scopes granted",
            f"missing: {' '.join(scopes_for(lacking, 'v2'))}",
            "have these scopes registered; a run leaves out optional types that it may not read",
        )


def _claims_text(claims: dict[str, object]) -> str:
    """The claims of an assertion, without the single-use id and the signature."""
    shown = {name: claims[name] for name in ("iss", "sub", "aud")}
    lasts = int(str(claims["exp"])) - int(time.time())
    return f"{', '.join(f'{name} {value}' for name, value in shown.items())}, for {lasts} s, {MASK}"


def _request(connection: Connection, kind: str) -> Iterator[CheckResult]:
    """Check one request with the credentials: a count, which reveals no patient's record."""
    client = Client(connection)
    url = f"{client.base}/{kind}?_summary=count"
    try:
        client.request("GET", url, budget=0.0)
        yield ok(_PART, "request", f"GET {kind}: access granted")
    except HttpError as error:
        if error.status in FORBIDDEN:
            yield failed(
                _PART, "request", str(error), "check the rights of this client on the server"
            )
        else:
            yield warning(
                _PART,
                "request",
                f"neither granted nor refused: {error}",
                "whether the credentials are accepted is not known; try fhircryo doctor SOURCE",
            )
    except SourceError as error:
        yield failed(_PART, "request", str(error), "")
    finally:
        client.close()
    if client.first_answered is not None:
        ahead = time.time() - client.first_answered.timestamp()
        yield clock(_PART, ahead, "set both by NTP, because assertions are valid for minutes only")
    else:
        yield not_tried(_PART, "clock", "the server does not state its time")
