"""Builds the credentials that the settings describe, and reads secrets from files and variables."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fhircryo.errors import UsageError
from fhircryo.fhir.auth.credentials import (
    Auth,
    BasicAuth,
    BearerAuth,
    NoAuth,
    token_of_command,
    token_of_environment,
    token_of_file,
)
from fhircryo.fhir.auth.scopes import Needs
from fhircryo.fhir.connection import Connection
from fhircryo.settings import ServerSettings
from fhircryo.storage.private_files import read_secret

# The modules that sign and request tokens are imported only where they are used, because importing
# them is slow.
if TYPE_CHECKING:
    from fhircryo.fhir.auth.assertion import ClientAuthentication, PrivateKeyJwt
    from fhircryo.fhir.auth.oauth2 import Grant


def signed_in(connection: Connection, settings: ServerSettings, needs: Needs) -> Connection:
    """Return the connection with the credentials that the settings describe.

    ``needs``: what the command does on the server.

    Raises:
        UsageError: settings contradict each other, or a secret cannot be read.
    """
    return replace(connection, auth=_auth(connection, settings, needs))


def _auth(connection: Connection, settings: ServerSettings, needs: Needs) -> Auth:
    if settings.auth == "basic":
        if settings.user is None:
            raise UsageError("auth = basic: user is needed")
        password = secret(settings.password_env, settings.password_file, "password")
        return BasicAuth(settings.user, _needed(password, settings, "password"))
    if settings.auth == "bearer":
        return _bearer(settings)
    if settings.auth == "none":
        return NoAuth()
    from fhircryo.fhir.auth.oauth2 import OAuth2

    # If the site sets the scopes, it is not known which of the needs they cover.
    checked_needs = {} if settings.scopes else needs
    return OAuth2(grant(connection, settings, needs), checked_needs)


def _bearer(settings: ServerSettings) -> BearerAuth:
    variable, file, command = settings.token_env, settings.token_file, settings.token_command
    if sum(map(bool, (variable, file, command))) != 1:
        raise UsageError("auth = bearer: one of token_env, token_file and token_command is needed")
    if variable:
        return BearerAuth(partial(token_of_environment, variable))
    if file:
        return BearerAuth(partial(token_of_file, file))
    return BearerAuth(partial(token_of_command, command))


def grant(connection: Connection, settings: ServerSettings, needs: Needs) -> "Grant":
    """Return the grant that obtains tokens, for ``oauth2`` and ``smart-backend``.

    ``needs``: what the command does on the server.

    Raises:
        UsageError: settings contradict each other, or a secret cannot be read.
    """
    from fhircryo.fhir.auth.oauth2 import ClientCredentials, SmartBackend

    if settings.auth == "smart-backend":
        return SmartBackend(
            connection,
            _private_key_jwt(settings),
            needs,
            scopes=settings.scopes,
            token_url=settings.token_url,
            origins=frozenset(settings.token_origins),
        )
    authentication = _client_authentication(settings)
    if settings.token_url is None:
        raise UsageError("auth = oauth2: token_url is needed")
    return ClientCredentials(settings.token_url, connection, authentication, settings.scopes)


def _client_id(settings: ServerSettings) -> str:
    if settings.client_id is None:
        raise UsageError(f"auth = {settings.auth}: client_id is needed")
    return settings.client_id


def _private_key_jwt(settings: ServerSettings) -> "PrivateKeyJwt":
    from fhircryo.fhir.auth.assertion import PrivateKeyJwt
    from fhircryo.fhir.auth.keys import load_key

    client_id = _client_id(settings)
    method = settings.client_authentication
    if method not in (None, "private_key_jwt"):
        raise UsageError(
            f"auth = {settings.auth}: does not support {method}; use auth = oauth2, or remove"
            " client_authentication"
        )
    if settings.key_file is None:
        raise UsageError(
            f"auth = {settings.auth}: key_file is needed; `fhircryo auth keygen` creates one"
        )
    key = load_key(settings.key_file, settings.key_id)
    return PrivateKeyJwt(client_id, key, settings.assertion_audience)


def _client_authentication(settings: ServerSettings) -> "ClientAuthentication":
    from fhircryo.fhir.auth.assertion import ClientSecret

    client_id = _client_id(settings)
    method = settings.client_authentication
    if method is None:
        method = "private_key_jwt" if settings.key_file is not None else "client_secret_basic"
    if method == "private_key_jwt":
        return _private_key_jwt(settings)
    found = secret(settings.client_secret_env, settings.client_secret_file, "client_secret")
    found = _needed(found, settings, "client_secret")
    return ClientSecret(client_id, found, in_header=method == "client_secret_basic")


def _needed(found: str | None, settings: ServerSettings, name: str) -> str:
    """Return the secret, or report that neither of its two settings is set."""
    if found is None:
        raise UsageError(f"auth = {settings.auth}: one of {name}_env and {name}_file is needed")
    return found


def secret(variable: str | None, file: Path | None, name: str) -> str | None:
    """Return the secret in an environment variable or a file; None if neither is set.

    ``name``: the settings' common name, such as ``password`` of ``password_env`` and
    ``password_file``.

    Raises:
        UsageError: both are set, or the variable or file is empty or cannot be read.
    """
    if variable is not None and file is not None:
        raise UsageError(f"{name}_env and {name}_file are both set; set only one of them")
    if file is not None:
        found, place = read_secret(file, name).rstrip("\r\n"), str(file)
    elif variable is not None:
        found, place = os.environ.get(variable, ""), f"environment variable {variable}"
    else:
        return None
    if not found:
        raise UsageError(f"{place}: contains no {name}")
    return found
