"""Builds connections and clients from the settings: credentials, certificates, limits."""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from fhircryo.errors import UsageError
from fhircryo.fhir.auth.from_settings import secret, signed_in
from fhircryo.fhir.auth.scopes import Needs
from fhircryo.fhir.client import Client
from fhircryo.fhir.connection import Connection
from fhircryo.fhir.limits import Limits
from fhircryo.fhir.urls import is_loopback, without_query
from fhircryo.fhir.wire import DECODERS
from fhircryo.logs import keep_secret
from fhircryo.settings import ServerSettings

LOG = logging.getLogger("fhircryo")

#: What a command does on a server, by resource type, in the letters of SMART scopes (create, read,
#: update, delete, search). A token is requested for what the command does, and nothing more.
READING: Needs = dict.fromkeys(DECODERS, "rs")
READING_A_GROUP: Needs = {"Group": "rs"}
#: To compare with what the target holds, and to match patients for ``subject = match``.
COMPARING: Needs = {"Observation": "rs", "Device": "rs"}
MATCHING: Needs = {"Patient": "rs"}
WRITING: Needs = {"Observation": "crus", "Device": "crus", "Provenance": "crus"}
ERASING: Needs = {"Observation": "rds", "Provenance": "rds"}


@contextmanager
def open_client(url: str, settings: ServerSettings, needs: Needs = READING) -> Iterator[Client]:
    """Yield a client for a server, and close it at the end of the block.

    ``needs``: what the command does on the server.

    Raises:
        UsageError: settings contradict each other, or a secret cannot be read.
    """
    client = Client(signed_in(connection_to(url, settings), settings, needs))
    try:
        yield client
    finally:
        client.close()


def connection_to(url: str, settings: ServerSettings) -> Connection:
    """Return the connection to a server that the settings describe, without credentials.

    Raises:
        UsageError: the URL is not that of a FHIR server, or a certificate cannot be used.
    """
    parts = urlsplit(url)
    if not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"{without_query(url)}: not the base URL of a FHIR server")
    if parts.username or parts.password:
        raise UsageError(
            f"{without_query(url)}: credentials in the URL would appear in logs; use the settings"
            " auth, user and password_env or password_file"
        )
    _warn_if_insecure(parts.scheme, parts.hostname, settings)
    return Connection(
        url=url,
        headers=_headers(settings),
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        deadline=settings.request_deadline,
        budget=settings.retry_budget,
        page_size=settings.page_size,
        verify_tls=settings.verify_tls,
        ca_bundle=_file(settings.ca_bundle, "ca_bundle"),
        client_context=_client_context(settings),
        origins=frozenset(settings.origins),
        limits=Limits(settings.max_response_mb, settings.max_depth, settings.max_file_gb),
    )


def _warn_if_insecure(scheme: str, host: str, settings: ServerSettings) -> None:
    if not settings.verify_tls:
        LOG.warning("%s: TLS certificates are NOT verified (setting verify_tls)", host)
    if scheme == "http" and settings.auth != "none" and not is_loopback(host):
        LOG.warning(
            "%s: credentials and records are sent UNENCRYPTED: use the server's https URL", host
        )


def _headers(settings: ServerSettings) -> dict[str, str]:
    """Return the site's HTTP headers, registered as secrets: a gateway's key may be among them."""
    values = {name: value.get_secret_value() for name, value in settings.headers.items()}
    return {name: keep_secret(value) for name, value in values.items()}


def _file(path: Path | None, setting: str) -> Path | None:
    """Return the path, after checking that the file exists."""
    if path is not None and not path.is_file():
        raise UsageError(f"setting {setting}: {path}: no such file")
    return path


def _client_context(settings: ServerSettings) -> ssl.SSLContext | None:
    """Return a TLS context with the client certificate; None if the settings name none."""
    certificate = _file(settings.client_certificate, "client_certificate")
    key = _file(settings.client_key, "client_key")
    if certificate is None:
        if key is not None:
            raise UsageError("client_key is set, but no client_certificate; set both or neither")
        return None
    from fhircryo.fhir.tls import client_context

    password = secret(
        settings.client_key_password_env, settings.client_key_password_file, "client_key_password"
    )
    return client_context(certificate, key, password)
