"""Runs a command beside a server."""

import os
import subprocess  # nosec B404
from collections.abc import Sequence

from fhircryo.errors import UsageError


def run_beside(command: Sequence[str], url: str) -> int:
    """Run a command with the server's URL in ``HAPI_URL``; returns its exit code.

    Raises:
        UsageError: there is no such command.
    """
    environment = os.environ | {"HAPI_URL": url}
    try:
        # The command is what the user typed after ours.
        return subprocess.run(  # noqa: S603  # nosec B603
            command, env=environment, check=False
        ).returncode
    except OSError as error:
        raise UsageError(f"{command[0]}: cannot be started: {error.strerror}") from error
