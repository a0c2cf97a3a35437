"""Credentials that a site provides: none, a user name and password, or a bearer token."""

import base64
import os
import signal
import subprocess  # nosec B404
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import requests

from fhircryo.errors import UsageError
from fhircryo.logs import keep_secret
from fhircryo.storage.private_files import read_secret

_COMMAND_SECONDS = 60.0


class Auth(Protocol):
    """Adds credentials to requests. Implementations are thread-safe."""

    def apply(self, request: requests.PreparedRequest) -> None:
        """Add the credentials to a request's headers.

        Raises:
            SignInError: no credentials can be obtained.
        """

    def renew(self, refused: requests.PreparedRequest, /) -> bool:
        """Renew the credentials after a request got a 401; whether a retry may succeed."""


class NoAuth:
    """Sends no credentials."""

    def apply(self, request: requests.PreparedRequest) -> None:
        """Leave the request unchanged."""

    def renew(self, _: requests.PreparedRequest, /) -> bool:
        """Return False: a retry cannot succeed."""
        return False


class BasicAuth:
    """Sends a user name and password (HTTP Basic)."""

    def __init__(self, user: str, password: str) -> None:
        self._header = basic(user, password)

    def apply(self, request: requests.PreparedRequest) -> None:
        """Add the Authorization header."""
        request.headers["Authorization"] = self._header

    def renew(self, _: requests.PreparedRequest, /) -> bool:
        """Return False: a retry with the same password cannot succeed."""
        return False


class BearerAuth:
    """Sends a bearer token, and reads it again after a 401."""

    def __init__(self, read: Callable[[], str]) -> None:
        """``read``: returns the current token."""
        self._read = read
        self._lock = threading.Lock()
        self._token = read()

    def apply(self, request: requests.PreparedRequest) -> None:
        """Add the Authorization header."""
        request.headers["Authorization"] = bearer(self._token)

    def renew(self, refused: requests.PreparedRequest, /) -> bool:
        """Read the token again, unless another thread has done so; whether the token changed."""
        with self._lock:
            if refused.headers.get("Authorization") == bearer(self._token):
                old, self._token = self._token, self._read()
                return self._token != old
            return True


def basic(user: str, password: str) -> str:
    """Return the Authorization header for a user name and password. Source: RFC 7617."""
    keep_secret(password)
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return f"Basic {keep_secret(encoded)}"


def bearer(token: str) -> str:
    """Return the Authorization header for a token. Source: RFC 6750."""
    return f"Bearer {token}"


def is_token(text: str) -> bool:
    """Whether a text can be sent as a token in a header."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def token_of_environment(variable: str) -> str:
    """Return the token in an environment variable.

    Raises:
        UsageError: the variable holds no token.
    """
    return _checked(os.environ.get(variable, ""), f"environment variable {variable}")


def token_of_file(file: Path) -> str:
    """Return the token in a file.

    Raises:
        UsageError: the file cannot be read, or holds no token.
    """
    return _checked(read_secret(file, "bearer token"), str(file))


def token_of_command(command: Sequence[str]) -> str:
    """Return the token that a command prints. The command is run without a shell.

    It inherits the environment and the current folder; its input is empty and its error output
    goes nowhere, because it may hold secrets.

    Raises:
        UsageError: the command cannot be run, fails, takes over a minute, or prints no token.
    """
    name = command[0]
    try:
        started = subprocess.Popen(  # noqa: S603  # nosec B603
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # In a group of its own, so that what it has started can be ended with it.
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"token_command {name}: cannot be run: {_reason(error)}") from None
    with started:
        try:
            printed, _ = started.communicate(timeout=_COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            _end_group(started)
            raise UsageError(
                f"token_command {name}: not finished after {_COMMAND_SECONDS:.0f} s"
            ) from None
        except BaseException:
            _end_group(started)
            raise
    if started.returncode:
        raise UsageError(
            f"token_command {name}: ended with exit code {started.returncode}; run it by hand to"
            " see why"
        )
    return _checked(printed.decode(errors="replace"), f"token_command {name}")


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _end_group(started: "subprocess.Popen[bytes]") -> None:
    """End a command that still runs, and whatever it started that still runs."""
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(started.pid, signal.SIGKILL)
        else:
            started.kill()


def _checked(text: str, place: str) -> str:
    token = text.strip()
    if not is_token(token):
        raise UsageError(f"{place}: contains no bearer token")
    return keep_secret(token, fleeting=True)
