"""Signing in to a server, step by step: what is sent, what comes back, secrets masked."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fhircryo.errors import SignInError, SourceError
from fhircryo.fhir.auth.credentials import BearerAuth
from fhircryo.fhir.auth.from_settings import grant, signed_in
from fhircryo.fhir.auth.scopes import Needs, missing, scopes_for
from fhircryo.fhir.client import Client, HttpError, without_query
from fhircryo.fhir.connect import connection_to
from fhircryo.fhir.connection import Connection
from fhircryo.logs import MASK
from fhircryo.settings import ServerSettings
from fhircryo.setup.doctor.check import Finding, failed, ok, warning

if TYPE_CHECKING:
    from fhircryo.fhir.auth.oauth2 import SmartBackend

_PART = "sign-in"
_CLOCK_SECONDS = 60.0
_TOKENS = frozenset({"oauth2", "smart-backend"})
_NO_RIGHT = frozenset({401, 403})


def look_at_sign_in(url: str, settings: ServerSettings, needs: Needs) -> Iterator[Finding]:
    """The steps of signing in for some needs; the first that fails is the last.

    Raises:
        UsageError: the settings do not fit together.
    """
    connection = connection_to(url, settings)
    yield ok(_PART, "settings", f"auth = {settings.auth}, at {without_query(url)}")
    if settings.auth == "none":
        yield warning(_PART, "credentials", "none are sent", "set auth, if the server wants some")
    elif settings.auth in _TOKENS:
        steps = _Steps(connection, settings, needs)
        yield from steps.look()
        if steps.connection is None:
            return
        connection = steps.connection
    else:
        connection = signed_in(connection, settings, needs)
        yield ok(_PART, "credentials", f"{_place(settings)}: {MASK}")
    yield from _asked(connection, next(iter(sorted(needs))))


def _place(settings: ServerSettings) -> str:
    """Where a password or token comes from."""
    command = " ".join(settings.token_command[:1])
    found = (
        settings.password_file or settings.password_env
        if settings.auth == "basic"
        else settings.token_file or settings.token_env or command
    )
    return str(found)


class _Steps:
    """The way to a token; ``connection``: with it, once it is there."""

    def __init__(self, connection: Connection, settings: ServerSettings, needs: Needs) -> None:
        self.connection: Connection | None = None
        self._plain = connection
        self._settings = settings
        self._needs = needs

    def look(self) -> Iterator[Finding]:
        from fhircryo.fhir.auth.assertion import PrivateKeyJwt
        from fhircryo.fhir.auth.oauth2 import SmartBackend

        way = grant(self._plain, self._settings, self._needs)
        proof = way.authentication
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
            if isinstance(way, SmartBackend):
                yield from self._discovered(way)
            endpoint = way.endpoint()
        except SourceError as error:
            yield failed(_PART, "token endpoint", str(error), "")
            return
        yield ok(_PART, "token endpoint", without_query(endpoint.url))
        yield ok(_PART, "scopes asked for", " ".join(endpoint.scopes) or "none")
        if isinstance(proof, PrivateKeyJwt):
            yield ok(_PART, "assertion", _told(proof.claims(endpoint.url)))
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

    def _discovered(self, way: "SmartBackend") -> Iterator[Finding]:
        place = ".well-known/smart-configuration"
        try:
            known = way.configuration()
        except SignInError as error:
            if self._settings.token_url is None:
                raise
            yield warning(_PART, "discovery", str(error), "nothing to do, if it works")
            return
        if known is None:
            words = "token_url is set" if self._settings.token_url else "none"
            yield warning(_PART, "discovery", f"no {place} ({words})", "nothing to do, if it works")
            return
        yield ok(
            _PART,
            "discovery",
            f"{place}: scopes {known.scopes_version}, {' '.join(known.capabilities or ()) or '-'}",
        )
        algorithm = way.authentication.key.algorithm
        for name, listed, ours in (
            ("method", known.token_endpoint_auth_methods_supported, "private_key_jwt"),
            ("algorithm", known.token_endpoint_auth_signing_alg_values_supported, algorithm),
            ("grant", known.grant_types_supported, "client_credentials"),
        ):
            if listed is not None and ours not in listed:
                yield warning(
                    _PART,
                    name,
                    f"the server lists {' '.join(listed) or 'none'}, and not {ours}",
                    "ask its team, if no token is given",
                )

    def _granted(self, scopes: tuple[str, ...]) -> Finding:
        lacking = {} if self._settings.scopes else missing(self._needs, scopes)
        if self._settings.auth == "oauth2" or not lacking:
            return ok(_PART, "scopes granted", " ".join(scopes) or "none named")
        return warning(
            _PART,
            "scopes granted",
            f"missing: {' '.join(scopes_for(lacking, 'v2'))}",
            "have them registered; types that may be lacking are left out of a run",
        )


def _told(claims: dict[str, object]) -> str:
    """What an assertion says; its signature, and the id that is used once, aside."""
    shown = {name: claims[name] for name in ("iss", "sub", "aud")}
    lasts = int(str(claims["exp"])) - int(time.time())
    return f"{', '.join(f'{name} {value}' for name, value in shown.items())}, for {lasts} s, {MASK}"


def _asked(connection: Connection, kind: str) -> Iterator[Finding]:
    """One request with the credentials; it counts, and shows nobody's record."""
    client = Client(connection)
    url = f"{client.base}/{kind}?_summary=count"
    try:
        client.request("GET", url, budget=0.0)
        yield ok(_PART, "request", f"GET {kind}: let in")
    except HttpError as error:
        if error.status in _NO_RIGHT:
            yield failed(_PART, "request", str(error), "check what this client may do there")
        else:
            yield ok(_PART, "request", f"GET {kind}: not refused ({error.status})")
    except SourceError as error:
        yield failed(_PART, "request", str(error), "")
    finally:
        client.close()
    if client.first_answered is not None:
        ahead = time.time() - client.first_answered.timestamp()
        if abs(ahead) > _CLOCK_SECONDS:
            yield warning(
                _PART,
                "clock",
                f"{ahead:+.0f} s: this machine's less the server's",
                "set both by NTP: assertions are good for minutes only",
            )
        else:
            yield ok(_PART, "clock", f"{ahead:+.0f} s")
