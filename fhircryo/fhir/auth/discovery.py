"""What a FHIR server says about signing in: its SMART configuration.

Source: https://hl7.org/fhir/smart-app-launch/conformance.html
"""

from dataclasses import replace
from datetime import datetime

import msgspec

from fhircryo.errors import SignInError, SourceError
from fhircryo.fhir.auth.credentials import NoAuth
from fhircryo.fhir.auth.scopes import Version, version_of
from fhircryo.fhir.client import Client, HttpError, joined, origin, without_query
from fhircryo.fhir.connection import Connection

PLACE = ".well-known/smart-configuration"

_JSON = {"Accept": "application/json"}
_BUDGET = 15.0
_NOT_THERE = frozenset({400, 401, 403, 404, 405, 406, 410, 501})


class SmartConfiguration(msgspec.Struct):
    """What is read of it. ``date``: when it was given, by the server's clock."""

    token_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    token_endpoint_auth_signing_alg_values_supported: list[str] | None = None
    grant_types_supported: list[str] | None = None
    scopes_supported: list[str] | None = None
    capabilities: list[str] | None = None

    @property
    def scopes_version(self) -> Version:
        """How it wants scopes written."""
        return version_of(self.capabilities or (), self.scopes_supported or ())


def discover(connection: Connection) -> SmartConfiguration | None:
    """Read a server's SMART configuration, without credentials; None where it has none.

    Raises:
        SignInError: what stands there is none.
        SourceError: the server cannot be reached.
    """
    url = f"{connection.url.rstrip('/')}/{PLACE}"
    client = _open(connection)
    try:
        response = client.request("GET", url, headers=_JSON, budget=min(connection.budget, _BUDGET))
    except HttpError as error:
        if error.status in _NOT_THERE:
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
    """The token endpoint that a server names, at its own origin or at one of those allowed.

    Raises:
        SignInError: it names none, or one elsewhere.
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
            f" {without_query(url)}: nothing is sent there; if the server's team says that it is"
            f' theirs: token_origins = ["{_shown_origin(url)}"]'
        )
    return url


def date_of(connection: Connection) -> datetime | None:
    """What time a FHIR server says that it is, asked without credentials; None: it does not."""
    client = _open(replace(connection, budget=0.0))
    try:
        client.request("GET", f"{client.base}/metadata")
    except SourceError:
        pass  # a refusal has a date as well
    finally:
        client.close()
    return client.first_answered


def _open(connection: Connection) -> Client:
    """A client of the same server that gives no credentials away."""
    return Client(replace(connection, auth=NoAuth()))


def _shown_origin(url: str) -> str:
    """An origin as people write it."""
    return origin(url).removesuffix(":443") if url.startswith("https:") else origin(url)
