"""What stands on this machine: versions, mappings, protocol, state folder."""

import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fhircryo import __version__
from fhircryo.errors import UsageError
from fhircryo.publish.target_server import state_folder
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import CONFIG_FILE, Settings
from fhircryo.setup.doctor.check import Finding, failed, ok, warning

_PART = "here"
_OTHERS = 0o077


def look_here(settings: Settings, job: RunConfig) -> Iterator[Finding]:
    """The checks that need no server."""
    yield ok(_PART, "version", f"fhircryo {__version__}, Python {platform.python_version()}")
    found = Path(CONFIG_FILE).resolve()
    yield ok(_PART, "settings", f"{found}" if found.is_file() else f"no {CONFIG_FILE} here")
    yield ok(_PART, "protocol", job.protocol.name)
    codes = sum(len(concept.codes) for concept in job.mappings.concepts.values())
    yield ok(
        _PART,
        "mappings",
        f"{codes} codes from {len(job.mappings.files)} files, sha256 {job.mappings.sha256[:12]}",
    )
    yield _timezone(settings)
    yield _state(state_folder(settings))


def _timezone(settings: Settings) -> Finding:
    if settings.timezone:
        return ok(_PART, "timezone", settings.timezone)
    return ok(_PART, "timezone", "not set: dates are taken as written")


def _state(folder: Path) -> Finding:
    """Whether locks can be written there, and nobody else can read them."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        return failed(
            _PART,
            "state folder",
            f"{folder}: cannot be written: {error.strerror}",
            "set state_folder to one that this user can write",
            UsageError.exit_code,
        )
    if os.name == "posix" and folder.stat().st_mode & _OTHERS:
        return warning(
            _PART, "state folder", f"{folder}: others may look into it", f"chmod 700 {folder}"
        )
    return ok(_PART, "state folder", str(folder))
