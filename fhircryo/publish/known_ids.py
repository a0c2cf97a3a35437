"""What runs remember of a target: the ids that it gave, and what it was sent without an answer.

A search may not find yet what was written (Google Cloud Healthcare, AWS HealthLake), so that it is
not enough to search before writing. The file is committed before each request and after each
answer. It holds identifiers, ids and versions, no clinical values. One file serves all runs that
write to a target from this state folder, whatever command they are.
"""

import hashlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from fhircryo.errors import UsageError
from fhircryo.fhir.urls import base_url
from fhircryo.publish.target_lock import make_state_folder
from fhircryo.storage.ownership import check_own_file
from fhircryo.storage.renamed import take_over

LOG = logging.getLogger("fhircryo.target")

#: The names under which the ids of the Device and of its Provenance are remembered.
DEVICE, DEVICE_PROVENANCE = "Device", "Provenance of Device"
#: The name of the way of creating that the target was seen to honour, with the one that it claims,
#: and of the notes that its transactions are none and that it keeps no profiles.
CREATION, NO_TRANSACTIONS, NO_PROFILES = "creation", "no transactions", "no profiles"
NOT_ENDPOINTS = frozenset({DEVICE, DEVICE_PROVENANCE, CREATION, NO_TRANSACTIONS, NO_PROFILES})

#: What the file is called in messages, and what SQLite appends to the name of its journal.
_FILE, _JOURNAL = "file of remembered ids", "-journal"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS written (
    identifier TEXT PRIMARY KEY, id TEXT NOT NULL, version TEXT NOT NULL, sent REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent_content (
    identifier TEXT PRIMARY KEY, sent BLOB NOT NULL, version TEXT NOT NULL, stood BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owed (
    identifier TEXT PRIMARY KEY, name TEXT NOT NULL, recorded TEXT NOT NULL, sent REAL
) WITHOUT ROWID;
"""
_BEGIN_WRITTEN = (
    "INSERT INTO written VALUES (?, ?, '', ?)"
    " ON CONFLICT (identifier) DO UPDATE SET sent = excluded.sent,"
    " id = CASE excluded.id WHEN '' THEN id ELSE excluded.id END"
)
_OWE = "INSERT OR REPLACE INTO owed VALUES (?, ?, ?, ?)"
_ALL_WRITTEN = "SELECT identifier, id, version, sent FROM written"
_WRITTEN = (
    "SELECT identifier, id, version, sent FROM written"
    " WHERE identifier IN (SELECT value FROM json_each(?))"
)
_SENT = (
    "INSERT INTO sent_content VALUES (?, ?, ?, NULL) ON CONFLICT (identifier) DO UPDATE SET"
    " stood = CASE sent WHEN excluded.sent THEN ? END,"
    " sent = excluded.sent, version = excluded.version"
)
_SENT_CONTENT = "SELECT sent, version, stood FROM sent_content WHERE identifier = ?"
_ALL_OWED = "SELECT identifier, name, recorded, sent FROM owed"
_OWED = (
    "SELECT identifier, name, recorded, sent FROM owed"
    " WHERE identifier IN (SELECT value FROM json_each(?))"
)
_FORGET = "DELETE FROM written WHERE identifier IN (SELECT value FROM json_each(?))"
_FORGET_CONTENT = "DELETE FROM sent_content WHERE identifier IN (SELECT value FROM json_each(?))"
_FORGET_UNCREATED = (
    "DELETE FROM written WHERE identifier IN (SELECT value FROM json_each(?)) AND id = ''"
)
_ANSWERED = "UPDATE written SET sent = NULL WHERE identifier IN (SELECT value FROM json_each(?))"
_NOT_OWED = "DELETE FROM owed WHERE identifier IN (SELECT value FROM json_each(?))"


class KnownId(NamedTuple):
    """What is remembered of a resource.

    ``id``: its id on the target; empty where the answer to its creation is not known. ``version``:
    the version that was last written or read; empty where it is not known. ``sent``: when a request
    was sent whose answer is not known (seconds since 1970); None where all answers are known.
    """

    id: str
    version: str
    sent: float | None


class SentContent(NamedTuple):
    """What was last written of an endpoint, as hashes of what it says.

    ``sent``: what was sent. ``version``: the version that this made; empty where the answer did not
    say. ``stood``: what stood on the target instead when the same was sent before; None if it was
    sent once.
    """

    sent: bytes
    version: str
    stood: bytes | None


class OwedProvenance(NamedTuple):
    """The Provenance that an endpoint lacks, or may lack.

    ``name``: the id that it gets where we choose ids. ``recorded``: the time that it states, where
    it was sent and the answer is not known; empty where it is known to be missing. ``sent``: when
    it was sent.
    """

    name: str
    recorded: str
    sent: float | None


class KnownIds:
    """An open file of remembered ids; several threads may use it."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None = None) -> None:
        self._connection = connection
        self._path = path
        self._guard = threading.RLock()

    @classmethod
    def in_memory(cls) -> "KnownIds":
        """Ids that are remembered for one run only."""
        return cls(_in_memory())

    # --- the ids of resources, by identifier

    def of(self, identifiers: Iterable[str] | None = None) -> dict[str, KnownId]:
        """What is remembered of resources; None: of all."""
        rows = self._rows(_ALL_WRITTEN, _WRITTEN, identifiers)
        return {str(row[0]): KnownId(*row[1:]) for row in rows}

    def sending(self, ids: dict[str, str], owing: dict[str, OwedProvenance] | None = None) -> None:
        """Note that requests are sent now, and which Provenances their endpoints will lack.

        ``ids``: the id by identifier; empty where the server chooses it.
        """
        now = time.time()
        rows = [(identifier, known, now) for identifier, known in ids.items()]
        owed = [(identifier, *one) for identifier, one in (owing or {}).items()]
        with self._change() as connection:
            connection.executemany(_BEGIN_WRITTEN, rows)
            connection.executemany(_OWE, owed)

    def written(
        self,
        found: dict[str, tuple[str, str]],
        *,
        provenance: bool = False,
        contents: Mapping[str, SentContent] | None = None,
    ) -> None:
        """Note the ids and versions of what was written or read.

        ``provenance``: their Provenance was written as well. ``contents``: what was sent, with what
        the target held before.
        """
        rows = [(identifier, *one, None) for identifier, one in found.items()]
        sent = [(name, *one) for name, one in (contents or {}).items()]
        with self._change() as connection:
            connection.executemany("INSERT OR REPLACE INTO written VALUES (?, ?, ?, ?)", rows)
            connection.executemany(_SENT, sent)
            if provenance:
                connection.execute(_NOT_OWED, _as_list(found))

    def not_written(self, identifiers: Iterable[str], lacked_before: Iterable[str] = ()) -> None:
        """Note that requests were refused, so that they wrote nothing.

        ``lacked_before``: those of them whose Provenance was missing before.
        """
        names = _as_list(identifiers)
        with self._change() as connection:
            connection.execute(_FORGET_UNCREATED, names)
            connection.execute(_ANSWERED, names)
            owing = set(json.loads(names[0])) - set(lacked_before)
            connection.execute(_NOT_OWED, _as_list(owing))

    def forget(self, identifiers: Iterable[str]) -> None:
        """Remove resources that are not on the target any more."""
        names = _as_list(identifiers)
        with self._change() as connection:
            connection.execute(_FORGET, names)
            connection.execute(_FORGET_CONTENT, names)
            connection.execute(_NOT_OWED, names)

    # --- what endpoints said when they were sent

    def content_sent(self, identifier: str) -> SentContent | None:
        """What was last written of an endpoint; None where it is not known."""
        with self._guard:
            row = self._connection.execute(_SENT_CONTENT, (identifier,)).fetchone()
        return None if row is None else SentContent(*row)

    # --- missing Provenances, by the identifier of the endpoint

    def owed(self, identifiers: Iterable[str] | None = None) -> dict[str, OwedProvenance]:
        """The Provenances that endpoints lack, or may lack; None: of all endpoints."""
        rows = self._rows(_ALL_OWED, _OWED, identifiers)
        return {str(row[0]): OwedProvenance(*row[1:]) for row in rows}

    def owe(self, owing: dict[str, OwedProvenance]) -> None:
        """Note which Provenances are missing, or are sent now."""
        with self._change() as connection:
            connection.executemany(_OWE, [(name, *one) for name, one in owing.items()])

    def provenance_written(self, identifiers: Iterable[str]) -> None:
        """Note that the Provenance of endpoints was written."""
        with self._change() as connection:
            connection.execute(_NOT_OWED, _as_list(identifiers))

    def _rows(
        self, everything: str, some: str, identifiers: Iterable[str] | None
    ) -> list[tuple[Any, ...]]:
        """The rows of one of two statements; the second one takes a list of identifiers."""
        with self._guard:
            if identifiers is None:
                return self._connection.execute(everything).fetchall()
            return self._connection.execute(some, _as_list(identifiers)).fetchall()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block changes, or nothing of it.

        Raises:
            UsageError: the file cannot be written.
        """
        try:
            with self._guard, self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
        except sqlite3.OperationalError as error:
            raise UsageError(
                f"{self._path}: the file of remembered ids cannot be written: {error}; nothing more"
                " is sent to TARGET; check the setting state_folder and the free disk space"
            ) from None


@contextmanager
def open_known_ids(target: str, folder: Path, *, dry_run: bool) -> Iterator[KnownIds]:
    """Open the remembered ids of a target (its base URL); a dry run changes a copy.

    Until version 0.2 the name of the file followed the spelling of the URL.

    Raises:
        UsageError: the state folder cannot be written.
    """
    path = known_ids_path(target, folder)
    former = _path(target.rstrip("/"), folder)
    if dry_run:
        # Unlike the method of a path, the function never fails, as in a folder of another user.
        there = os.path.exists(path)  # noqa: PTH110
        connection = _copied(path if there else former)
    else:
        connection = _opened(path, former)
    try:
        yield KnownIds(connection, path)
    finally:
        connection.close()


def known_ids_path(target: str, folder: Path) -> Path:
    """The path of the file of a target in a state folder."""
    return _path(base_url(target), folder)


def _path(target: str, folder: Path) -> Path:
    digest = hashlib.sha256(target.encode()).hexdigest()[:16]
    return folder / f"target-{digest}.ids.sqlite"


def _opened(path: Path, former: Path) -> sqlite3.Connection:
    try:
        make_state_folder(path.parent)
        take_over(former, path, (_JOURNAL,))
        # The file is created before SQLite opens it, so that it is private from the start.
        check_own_file(path, _FILE, create=True)
        with suppress(FileNotFoundError):
            check_own_file(path.with_name(f"{path.name}{_JOURNAL}"), _FILE)
        connection = _connected(path)
    except (OSError, sqlite3.OperationalError) as error:
        raise UsageError(
            f"{path}: the file of remembered ids cannot be opened: {error}; check the setting"
            " state_folder"
        ) from None
    except sqlite3.DatabaseError:
        damaged = path.with_suffix(".damaged")
        path.replace(damaged)
        path.with_name(f"{path.name}{_JOURNAL}").unlink(missing_ok=True)
        LOG.warning(
            "%s: the file of remembered ids is damaged; it was renamed to %s, and what is on TARGET"
            " is searched instead",
            path,
            damaged.name,
        )
        return _opened(path, former)
    return connection


def _connected(path: Path) -> sqlite3.Connection:
    """Connect to a file and look at all of it.

    Raises:
        sqlite3.DatabaseError: the file is damaged.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=60.0, check_same_thread=False)
    try:
        sound = connection.execute("PRAGMA quick_check").fetchone()[0] == "ok"
    except sqlite3.DatabaseError:
        connection.close()
        raise
    if not sound:
        connection.close()
        raise sqlite3.DatabaseError
    connection.executescript(_SCHEMA)
    return connection


def _in_memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.executescript(_SCHEMA)
    return connection


def _copied(path: Path) -> sqlite3.Connection:
    """The content of a file in memory; empty where there is none, or none that can be read."""
    copy = _in_memory()
    try:
        with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True) as connection:
            connection.backup(copy)
        connection.close()
    except sqlite3.DatabaseError:
        LOG.debug("%s: there are no remembered ids", path)
    copy.executescript(_SCHEMA)
    return copy


def _as_list(values: Iterable[str]) -> tuple[str]:
    """The parameters of a statement that takes one list of values, for ``json_each``."""
    return (json.dumps(sorted(set(values))),)
