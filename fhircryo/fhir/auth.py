"""How a request says who asks: not at all, by name and password, by a bearer token."""

import os
from pathlib import Path
from typing import Protocol

import requests

from fhircryo.errors import UsageError


class Auth(Protocol):
    """Puts credentials on a request; ``renew`` after a 401, True if another try is worth it."""

    def apply(self, request: requests.PreparedRequest) -> None:
        """Add the credentials to a request's headers."""

    def renew(self) -> bool:
        """Fetch new credentials."""


class NoAuth:
    """No credentials."""

    def apply(self, request: requests.PreparedRequest) -> None:
        """Nothing to add."""

    def renew(self) -> bool:
        """Nothing to renew."""
        return False


class BasicAuth:
    """A user's name and password, from the environment or files."""

    def __init__(self, user: str, password: str) -> None:
        self._auth = requests.auth.HTTPBasicAuth(user, password)

    def apply(self, request: requests.PreparedRequest) -> None:
        """Add the Authorization header."""
        self._auth(request)

    def renew(self) -> bool:
        """A refused password stays refused."""
        return False


class BearerAuth:
    """A token from an environment variable or a file; the file is read again after a 401."""

    def __init__(self, variable: str | None = None, file: Path | None = None) -> None:
        self._variable = variable
        self._file = file
        self._token = self._read()

    def _read(self) -> str:
        if self._file is not None:
            try:
                token = self._file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"{self._file}: the token cannot be read: {error}") from None
            place = str(self._file)
        else:
            token = os.environ.get(self._variable or "", "").strip()
            place = f"environment variable {self._variable}"
        if not token or not token.isascii() or any(sign.isspace() for sign in token):
            raise UsageError(f"{place}: no bearer token in it")
        return token

    def apply(self, request: requests.PreparedRequest) -> None:
        """Add the Authorization header."""
        request.headers["Authorization"] = f"Bearer {self._token}"

    def renew(self) -> bool:
        """Read the token again; whether it is another one."""
        old, self._token = self._token, self._read()
        return self._token != old
