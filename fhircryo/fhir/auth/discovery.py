"""Reads a FHIR server's SMART configuration, which names its token endpoint.

Source: https://hl7.org/fhir/smart-app-launch/conformance.html
"""

from dataclasses import replace
from datetime import datetime

import msgspec

from fhircryo.errors import SignInError, SourceError
from fhircryo.fhir import refusals
from fhircryo.fhir.auth.credentials import NoAuth
from fhircryo.fhir.auth.scopes import Version, scope_version
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.connection import Connection
from fhircryo.fhir.urls import joined, origin, without_query

PLACE = ".well-known/smart-configuration"

_JSON = {"Accept": "application/json"}
_BUDGET_SECONDS = 15.0


class SmartConfiguration(msgspec.Struct):
    """The elements of a SMART configuration that are read."""

    token_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    token_endpoint_auth_signing_alg_values_supported: list[str] | None = None
    grant_types_supported: list[str] | None = None
    scopes_supported: list[str] | None = None
    capabilities: list[str] | None = None

    @property
    def scopes_version(self) -> Version:
        """The version of the scope syntax that the server expects."""
        return scope_version(self.capabilities or (), self.scopes_supported or ())


def discover(connection: Connection) -> SmartConfiguration | None:
    """Read a server's SMART configuration without credentials; None if the server has none.

    Raises:
        SignInError: the server's answer is not a SMART configuration.
        SourceError: the server cannot be reached.
    """
    url = f"{connection.url.rstrip('/')}/{PLACE}"
    client = _anonymous_client(connection)
    budget = min(connection.budget, _BUDGET_SECONDS)
    try:
        response = client.request("GET", url, headers=_JSON, budget=budget)
    except HttpError as error:
        if refusals.configuration_absent(error):
            return None
        raise
    finally:
        client.close()
    try:
        return msgspec.json.decode(response.content, type=SmartConfiguration)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SignInError(f"{without_query(url)}: not a SMART configuration in JSON") from None


def endpoint_of(
    configuration: SmartConfiguration | None, connection: Connection, origins: frozenset[str]
) -> str:
    """Return the URL of the token endpoint that a server names.

    ``origins``: the origins at which it may be, besides the server's own.

    Raises:
        SignInError: the server names no token endpoint, or one of another origin.
    """
    place = f"{connection.url.rstrip('/')}/{PLACE}"
    if configuration is None or not configuration.token_endpoint:
        raise SignInError(
            f"{without_query(place)}: the server names no token endpoint there; ask its team for"
            " its URL, and set token_url"
        )
    url = joined(place, configuration.token_endpoint)
    if origin(url) not in {origin(connection.url), *map(origin, origins)}:
        raise SignInError(
            f"{without_query(place)}: the server names a token endpoint of another origin,"
            f" {without_query(url)}, and nothing is sent there; if the server's team confirms that"
            f' it is theirs, set token_origins = ["{_shown_origin(url)}"]'
        )
    return url


def date_of(connection: Connection) -> datetime | None:
    """Return the current time by a FHIR server's clock; None if the server does not send it.

    The request is made without credentials.
    """
    client = _anonymous_client(replace(connection, budget=0.0))
    try:
        client.request("GET", f"{client.base}/metadata")
    except SourceError:
        pass  # an error response has a Date header as well
    finally:
        client.close()
    return client.first_answered


def _anonymous_client(connection: Connection) -> Client:
    """Return a client for the same server that sends no credentials."""
    return Client(replace(connection, auth=NoAuth()))


def _shown_origin(url: str) -> str:
    """Return a URL's origin as people write it: without the default port of https."""
    return origin(url).removesuffix(":443") if url.startswith("https:") else origin(url)
