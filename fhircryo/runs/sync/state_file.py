"""The file that holds the state of sync runs: its path, opening it, and setting it aside."""

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from fhircryo.errors import UsageError
from fhircryo.fhir.urls import base_url
from fhircryo.publish.target_lock import STATE_FOLDER, make_state_folder
from fhircryo.publish.target_server import state_folder
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.state_database import DamagedStateError, State, is_damage
from fhircryo.runs.sync.state_schema import migrate
from fhircryo.storage.ownership import check_own_file, check_own_folder
from fhircryo.storage.renamed import take_over

LOG = logging.getLogger("fhircryo.sync")

_T = TypeVar("_T")
#: What SQLite appends to the name of a database file in WAL mode.
_WAL_SUFFIXES = ("-wal", "-shm")


def state_path(config: RunConfig, source: str, target: str) -> Path:
    """The path of the state file for a source, a target and a protocol.

    However the base URLs are spelled, it is the same. Until version 0.2 it followed their spelling:
    a file of that name counts until ``take_over_former`` renames it.

    Root may read what lies there of a service's user, such as the status of its last run. Who opens
    the state has to be that user, because SQLite writes beside it.

    Raises:
        UsageError: other users can change what is in the state folder.
    """
    folder = state_folder(config.settings)
    try:
        check_own_folder(folder, STATE_FOLDER, reading=True)
    except (FileNotFoundError, NotADirectoryError):
        pass  # The folder is made, or cannot be made, when it is needed.
    except OSError as error:
        raise UsageError(f"{folder}: {STATE_FOLDER}: cannot be read: {error.strerror}") from None
    path = _named(config, base_url(source), base_url(target))
    former = _named(config, source, target)
    return former if former.exists() and not path.exists() else path


def take_over_former(config: RunConfig, source: str, target: str) -> None:
    """Rename the state of version 0.1 whose name follows the spelling of the base URLs.

    The caller holds the lock of the target.

    Raises:
        UsageError: the file cannot be renamed.
    """
    former = _named(config, source, target)
    path = _named(config, base_url(source), base_url(target))
    try:
        take_over(former, path, _WAL_SUFFIXES)
        take_over(status_path(former), status_path(path))
    except OSError as error:
        raise _cannot_use(former, error) from None


def status_path(state: Path) -> Path:
    """The path of the status file that belongs to a state file."""
    return state.with_suffix(".status.json")


def _named(config: RunConfig, source: str, target: str) -> Path:
    name = "\x1f".join((source, target, config.settings.source_name, config.protocol.id))
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return state_folder(config.settings) / f"sync-{digest}.sqlite"


@contextmanager
def open_state(path: Path) -> Iterator[State]:
    """Open a state file; create it if it does not exist.

    Raises:
        UsageError: the file cannot be used, or a newer version of the program wrote it.
        DamagedStateError: the file is damaged; this may be found at any time while it is open.
    """
    connection = _connect(path)
    try:
        migrate(connection, path)
        yield State(connection, path)
    except sqlite3.OperationalError as error:
        raise _cannot_use(path, error) from None
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise DamagedStateError(path) from None
        raise
    finally:
        with suppress(sqlite3.Error):
            connection.close()


def with_state(path: Path, work: Callable[[State], _T]) -> _T:
    """Open a state file and call ``work`` with it.

    If the file turns out to be damaged, it is set aside and ``work`` is called again with an empty
    state. Repeating is safe: nothing was saved, and what is on the target already is not rewritten.
    """
    try:
        with open_state(path) as state:
            return work(state)
    except DamagedStateError:
        LOG.warning(
            "%s: the state file is damaged; it was renamed to %s, and a full run follows",
            path,
            set_aside(path).name,
        )
    with open_state(path) as state:
        return work(state)


def set_aside(path: Path) -> Path:
    """Rename a damaged state file; returns its new path."""
    damaged = path.with_suffix(".damaged")
    path.replace(damaged)
    for suffix in _WAL_SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return damaged


def remove(path: Path) -> None:
    """Remove a state file, so that the next run is a full run."""
    for suffix in ("", *_WAL_SUFFIXES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    try:
        make_state_folder(path.parent)
        # The file is created before SQLite opens it, so that it is private from the start.
        check_own_file(path, "state file", create=True)
        for suffix in _WAL_SUFFIXES:
            with suppress(FileNotFoundError):
                check_own_file(path.with_name(path.name + suffix), "state file")
        connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
    except (OSError, sqlite3.OperationalError) as error:
        raise _cannot_use(path, error) from None
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.OperationalError as error:
        connection.close()
        raise _cannot_use(path, error) from None
    except sqlite3.DatabaseError:
        connection.close()
        raise DamagedStateError(path) from None
    return connection


def _cannot_use(path: Path, error: Exception) -> UsageError:
    return UsageError(
        f"{path}: the state file cannot be used: {error}; check the setting state_folder and the"
        " free disk space"
    )
