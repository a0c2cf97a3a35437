"""Connections from settings: who asks, by which certificates, with which patience."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from fhircryo.errors import UsageError
from fhircryo.fhir.auth import Auth, BasicAuth, BearerAuth, NoAuth
from fhircryo.fhir.client import Client, Connection, without_query
from fhircryo.settings import ServerSettings

LOG = logging.getLogger("fhircryo")


@contextmanager
def open_client(url: str, settings: ServerSettings) -> Iterator[Client]:
    """A client for a server, closed at the end.

    Raises:
        UsageError: the settings do not fit together, or a secret is not where they say.
    """
    client = Client(_connection(url, settings))
    try:
        yield client
    finally:
        client.close()


def _connection(url: str, settings: ServerSettings) -> Connection:
    parts = urlsplit(url)
    if not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"{without_query(url)}: not the base URL of a FHIR server")
    if parts.username or parts.password:
        raise UsageError(
            f"{without_query(url)}: credentials in the URL would stand in logs; use the settings"
            " auth, user and password_env or password_file"
        )
    if not settings.verify_tls:
        LOG.warning("%s: TLS certificates are NOT verified (setting verify_tls)", parts.hostname)
    for name in ("ca_bundle", "client_certificate", "client_key"):
        path: Path | None = getattr(settings, name)
        if path is not None and not path.is_file():
            raise UsageError(f"setting {name}: {path}: no such file")
    return Connection(
        url=url,
        auth=_auth(settings),
        headers=dict(settings.headers),
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        budget=settings.retry_budget,
        page_size=settings.page_size,
        verify_tls=settings.verify_tls,
        ca_bundle=settings.ca_bundle,
        client_certificate=settings.client_certificate,
        client_key=settings.client_key,
        origins=frozenset(settings.origins),
    )


def _auth(settings: ServerSettings) -> Auth:
    if settings.auth == "bearer":
        if (settings.token_env is None) == (settings.token_file is None):
            raise UsageError("auth = bearer: one of token_env and token_file is needed")
        return BearerAuth(settings.token_env, settings.token_file)
    if settings.auth == "basic":
        if settings.user is None:
            raise UsageError("auth = basic: user is needed")
        return BasicAuth(settings.user, _password(settings))
    return NoAuth()


def _password(settings: ServerSettings) -> str:
    if (settings.password_env is None) == (settings.password_file is None):
        raise UsageError("auth = basic: one of password_env and password_file is needed")
    if settings.password_file is not None:
        try:
            return settings.password_file.read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{settings.password_file}: cannot be read: {error}") from None
    password = os.environ.get(settings.password_env or "")
    if not password:
        raise UsageError(f"environment variable {settings.password_env}: no password in it")
    return password
