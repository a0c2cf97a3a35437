"""Checks this installation: versions, settings, protocol, mappings, time zone, state folder."""

import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fhircryo import __version__
from fhircryo.errors import UsageError
from fhircryo.publish.target_lock import make_state_folder
from fhircryo.publish.target_server import state_folder
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import CONFIG_FILE, Settings
from fhircryo.setup.doctor.check import CheckResult, failed, ok, warning

_PART = "here"
#: The mode bits that give access to the group and to others.
_NOT_OWNER = 0o077


def installation_checks(config: RunConfig, settings_file: Path | None) -> Iterator[CheckResult]:
    """Check everything that needs neither a source nor a target.

    ``settings_file``: the file that --config named; None: that of the current folder, if any.
    """
    settings = config.settings
    yield ok(_PART, "version", f"fhircryo {__version__}, Python {platform.python_version()}")
    file = (settings_file or Path(CONFIG_FILE)).resolve()
    yield ok(_PART, "settings", f"{file}" if file.is_file() else f"no {CONFIG_FILE} in this folder")
    yield ok(_PART, "protocol", config.protocol.name)
    mappings = config.mappings
    codes = sum(len(concept.codes) for concept in mappings.concepts.values())
    yield ok(
        _PART,
        "mappings",
        f"{codes} codes from {len(mappings.files)} files, sha256 {mappings.sha256[:12]}",
    )
    yield _timezone(settings)
    yield _state(state_folder(settings))


def _timezone(settings: Settings) -> CheckResult:
    if settings.timezone:
        return ok(_PART, "timezone", settings.timezone)
    return ok(_PART, "timezone", "not set: dates are used as they are written")


def _state(folder: Path) -> CheckResult:
    """Check that the state folder can be written to, and that only its owner can read it."""
    try:
        make_state_folder(folder)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except UsageError as error:
        advice = "see docs/how-to/run-on-a-schedule.md, Files and users"
        return failed(_PART, "state folder", str(error), advice, UsageError.exit_code)
    except OSError as error:
        return failed(
            _PART,
            "state folder",
            f"{folder}: cannot be written: {error.strerror}",
            "set state_folder to a folder that this user can write to",
            UsageError.exit_code,
        )
    if os.name == "posix" and folder.stat().st_mode & _NOT_OWNER:
        return warning(
            _PART, "state folder", f"{folder}: other users can read it", f"chmod 700 {folder}"
        )
    return ok(_PART, "state folder", str(folder))
