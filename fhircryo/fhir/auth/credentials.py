"""Credentials that are given: none, a name and password, a bearer token."""

import base64
import os
import subprocess  # nosec B404
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import requests

from fhircryo.errors import UsageError
from fhircryo.logs import keep_secret
from fhircryo.storage.private_files import read_secret

_COMMAND_SECONDS = 60.0


class Auth(Protocol):
    """Puts credentials on a request; used by several threads at once."""

    def apply(self, request: requests.PreparedRequest) -> None:
        """Add the credentials to a request's headers.

        Raises:
            SignInError: there are none to be had.
        """

    def renew(self, refused: requests.PreparedRequest, /) -> bool:
        """After a 401 to a request: whether there are, or may be, others to try again with."""


class NoAuth:
    """No credentials."""

    def apply(self, request: requests.PreparedRequest) -> None:
        """Nothing to add."""

    def renew(self, _: requests.PreparedRequest, /) -> bool:
        """Nothing to renew."""
        return False


class BasicAuth:
    """A user's name and password."""

    def __init__(self, user: str, password: str) -> None:
        self._header = basic(user, password)

    def apply(self, request: requests.PreparedRequest) -> None:
        """Add the Authorization header."""
        request.headers["Authorization"] = self._header

    def renew(self, _: requests.PreparedRequest, /) -> bool:
        """A refused password stays refused."""
        return False


class BearerAuth:
    """A token from somewhere, read again after a 401."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._token = read()

    def apply(self, request: requests.PreparedRequest) -> None:
        """Add the Authorization header."""
        request.headers["Authorization"] = bearer(self._token)

    def renew(self, refused: requests.PreparedRequest, /) -> bool:
        """Read the token again, unless another thread has; whether it is another one."""
        with self._lock:
            if refused.headers.get("Authorization") == bearer(self._token):
                old, self._token = self._token, self._read()
                return self._token != old
            return True


def basic(user: str, password: str) -> str:
    """The Authorization header of a name and password. Source: RFC 7617."""
    keep_secret(password)
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return f"Basic {keep_secret(encoded)}"


def bearer(token: str) -> str:
    """The Authorization header of a token. Source: RFC 6750."""
    return f"Bearer {token}"


def is_token(text: str) -> bool:
    """Whether a text can stand in a header as a token."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def token_of_environment(variable: str) -> str:
    """The token in an environment variable.

    Raises:
        UsageError: there is none.
    """
    return _checked(os.environ.get(variable, ""), f"environment variable {variable}")


def token_of_file(file: Path) -> str:
    """The token in a file.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    return _checked(read_secret(file, "bearer token"), str(file))


def token_of_command(command: Sequence[str]) -> str:
    """The token that a command prints; no shell is between.

    Raises:
        UsageError: it cannot be run, fails, or prints none.
    """
    name = command[0]
    try:
        done = subprocess.run(  # noqa: S603  # nosec B603
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"token_command {name}: not done after {_COMMAND_SECONDS:.0f} s") from None
    except OSError as error:
        raise UsageError(f"token_command {name}: cannot be run: {error.strerror}") from None
    if done.returncode:
        raise UsageError(
            f"token_command {name}: ended with {done.returncode}; run it by hand to see why"
        )
    return _checked(done.stdout.decode(errors="replace"), f"token_command {name}")


def _checked(text: str, place: str) -> str:
    token = text.strip()
    if not is_token(token):
        raise UsageError(f"{place}: no bearer token in it")
    return keep_secret(token, fleeting=True)
