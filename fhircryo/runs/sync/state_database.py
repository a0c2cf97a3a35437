"""What a scheduled run remembers: SQLite, ids and versions only, worth one full run if it is lost.

Written in one transaction after the target has acknowledged: a run that ends before is repeated.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from fhircryo.errors import UsageError

#: Each brings the state from the version of its place to the next.
_MIGRATIONS = (
    """
    CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE watermark (kind TEXT PRIMARY KEY, stamp TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE version (ref TEXT PRIMARY KEY, version TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE stands_on (
        patient TEXT NOT NULL, ref TEXT NOT NULL, PRIMARY KEY (patient, ref)
    ) WITHOUT ROWID;
    CREATE INDEX stands_on_ref ON stands_on (ref);
    CREATE TABLE alias (id TEXT PRIMARY KEY, patient TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE published (identifier TEXT PRIMARY KEY, patient TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX published_patient ON published (patient);
    CREATE TABLE due (patient TEXT PRIMARY KEY, day TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE pending (
        patient TEXT PRIMARY KEY, why TEXT NOT NULL, since TEXT NOT NULL, tries INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE chosen (
        kind TEXT NOT NULL, patient TEXT NOT NULL, PRIMARY KEY (kind, patient)
    ) WITHOUT ROWID;
    """,
)
VERSION = len(_MIGRATIONS)
_FORGET = (
    "DELETE FROM version WHERE ref IN (SELECT ref FROM stands_on WHERE patient = ?)",
    "DELETE FROM stands_on WHERE patient = ?",
    "DELETE FROM published WHERE patient = ?",
    "DELETE FROM due WHERE patient = ?",
    "DELETE FROM pending WHERE patient = ?",
    "DELETE FROM alias WHERE patient = ?",
)
_CLEAR = (
    "DELETE FROM fact",
    "DELETE FROM watermark",
    "DELETE FROM version",
    "DELETE FROM stands_on",
    "DELETE FROM alias",
    "DELETE FROM published",
    "DELETE FROM due",
    "DELETE FROM pending",
    "DELETE FROM chosen",
)


@dataclass
class PatientState:
    """What is remembered of a patient once what was computed of him has landed.

    ``aliases``: his ids, his own among them; ``refs``: what his endpoints stand on, or could;
    ``published``: identifiers; ``due``: the next day on which time alone changes an endpoint.
    """

    patient: str
    aliases: set[str] = field(default_factory=set)
    refs: set[str] = field(default_factory=set)
    published: set[str] = field(default_factory=set)
    due: date | None = None


@dataclass(frozen=True)
class Pending:
    """A patient who could not be written: why, since when, how often it was tried."""

    patient: str
    why: str
    since: str
    tries: int


class State:
    """An open state."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

    # --- facts about the whole

    def fact(self, name: str) -> str | None:
        """A fact by its name."""
        row = self._connection.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        """Set a fact."""
        self._connection.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    def watermarks(self) -> dict[str, str]:
        """By type, the server's time up to which it was read."""
        return dict(self._connection.execute("SELECT kind, stamp FROM watermark"))

    def set_watermarks(self, stamps: dict[str, str]) -> None:
        """Set the watermarks of some types."""
        rows = stamps.items()
        self._connection.executemany("INSERT OR REPLACE INTO watermark VALUES (?, ?)", rows)

    # --- resources

    def versions(self, refs: Iterable[str]) -> dict[str, str]:
        """The versions that were seen of some resources."""
        sql = "SELECT ref, version FROM version WHERE ref IN (SELECT value FROM json_each(?))"
        return dict(self._connection.execute(sql, _listed(refs)))

    def set_versions(self, versions: dict[str, str]) -> None:
        """Remember the versions that were seen."""
        rows = versions.items()
        self._connection.executemany("INSERT OR REPLACE INTO version VALUES (?, ?)", rows)

    def who_stands_on(self, refs: Iterable[str]) -> set[str]:
        """The patients whose endpoints stand, or could stand, on some resources."""
        sql = "SELECT patient FROM stands_on WHERE ref IN (SELECT value FROM json_each(?))"
        return {str(row[0]) for row in self._connection.execute(sql, _listed(refs))}

    # --- patients

    def current(self, patient: str) -> str | None:
        """The patient whom an id belongs to; None where he is not followed."""
        sql = "SELECT patient FROM alias WHERE id = ?"
        row = self._connection.execute(sql, (patient,)).fetchone()
        return None if row is None else str(row[0])

    def ids_of(self, patients: Iterable[str]) -> set[str]:
        """Every id that is known of some patients."""
        sql = "SELECT id FROM alias WHERE patient IN (SELECT value FROM json_each(?))"
        return {str(row[0]) for row in self._connection.execute(sql, _listed(patients))}

    def published(self, patients: Iterable[str] | None = None) -> dict[str, str]:
        """The identifiers that were published, of some patients or all, with whose they are."""
        if patients is None:
            return dict(self._connection.execute("SELECT identifier, patient FROM published"))
        sql = (
            "SELECT identifier, patient FROM published"
            " WHERE patient IN (SELECT value FROM json_each(?))"
        )
        return dict(self._connection.execute(sql, _listed(patients)))

    def published_patients(self) -> int:
        """Of how many patients anything was published."""
        sql = "SELECT COUNT(DISTINCT patient) FROM published"
        return int(self._connection.execute(sql).fetchone()[0])

    def due(self, day: date) -> set[str]:
        """The patients of whom time alone changes something by a day."""
        sql = "SELECT patient FROM due WHERE day <= ?"
        return {str(row[0]) for row in self._connection.execute(sql, (day.isoformat(),))}

    def pending(self) -> list[Pending]:
        """The patients who could not be written."""
        sql = "SELECT patient, why, since, tries FROM pending ORDER BY patient"
        return [Pending(*row) for row in self._connection.execute(sql)]

    def chosen(self, kind: str) -> set[str]:
        """The patients of a list (``excluded``, ``listed``) in the last run."""
        sql = "SELECT patient FROM chosen WHERE kind = ?"
        return {str(row[0]) for row in self._connection.execute(sql, (kind,))}

    def set_chosen(self, kind: str, patients: Iterable[str]) -> None:
        """Remember a list."""
        self._connection.execute("DELETE FROM chosen WHERE kind = ?", (kind,))
        rows = [(kind, one) for one in sorted(set(patients))]
        self._connection.executemany("INSERT INTO chosen VALUES (?, ?)", rows)

    def remember(self, patient: PatientState) -> None:
        """Replace what is remembered of a patient; he is not pending any more."""
        self.forget(patient.patient)
        name = patient.patient
        run = self._connection.executemany
        run("INSERT OR REPLACE INTO alias VALUES (?, ?)", [(one, name) for one in patient.aliases])
        run("INSERT OR REPLACE INTO stands_on VALUES (?, ?)", [(name, ref) for ref in patient.refs])
        published = [(one, name) for one in patient.published]
        run("INSERT OR REPLACE INTO published VALUES (?, ?)", published)
        if patient.due is not None:
            run("INSERT INTO due VALUES (?, ?)", [(name, patient.due.isoformat())])

    def set_pending(self, patient: str, why: str, now: str) -> None:
        """Remember that a patient could not be written."""
        self._connection.execute(
            "INSERT INTO pending VALUES (?, ?, ?, 1)"
            " ON CONFLICT (patient) DO UPDATE SET why = excluded.why, tries = tries + 1",
            (patient, why, now),
        )

    def keep_pending(self, pending: Pending) -> None:
        """Remember since when a patient could not be written, through a full run."""
        row = (pending.patient, pending.why, pending.since, pending.tries)
        self._connection.execute("INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?)", row)

    def forget(self, patient: str) -> None:
        """Remember nothing of a patient."""
        for statement in _FORGET:
            self._connection.execute(statement, (patient,))

    def clear(self) -> None:
        """Remember nothing at all."""
        for statement in _CLEAR:
            self._connection.execute(statement)

    def check(self) -> None:
        """Read all of it; an increment reads what it needs, and finds damage there.

        Raises:
            DamagedStateError: it is not sound.
        """
        try:
            sound = self._connection.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            sound = False
        if not sound:
            raise DamagedStateError(self.path)

    def counts(self) -> dict[str, int]:
        """How much is remembered, for people."""
        tables = {
            "patients": "SELECT COUNT(DISTINCT patient) FROM alias",
            "resources": "SELECT COUNT(DISTINCT ref) FROM stands_on",
            "published endpoints": "SELECT COUNT(*) FROM published",
            "patients due some day": "SELECT COUNT(*) FROM due",
            "patients not written": "SELECT COUNT(*) FROM pending",
        }
        return {
            words: int(self._connection.execute(sql).fetchone()[0]) for words, sql in tables.items()
        }

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is set within is kept, or nothing.

        Raises:
            UsageError: the state cannot be written; what the target has stays as it is.
        """
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.OperationalError as error:
            raise UsageError(
                f"{self.path}: the state cannot be written: {error}; what was written to the target"
                " stays, and the next run looks at it again (setting state_folder; free space?)"
            ) from None


def _listed(values: Iterable[str]) -> tuple[str]:
    """Values as the one parameter of a statement that takes a list of them."""
    return (json.dumps(sorted(set(values))),)


class DamagedStateError(Exception):
    """A state file that is no longer one."""


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether an error says that the file is damaged; its subclasses say other things."""
    return type(error) is sqlite3.DatabaseError


@contextmanager
def open_state(path: Path) -> Iterator[State]:
    """Open a state, made where there is none.

    Raises:
        UsageError: the folder cannot be written, or a newer version made the state.
        DamagedStateError: the file is damaged, as found at any time; see ``set_aside``.
    """
    connection = _connect(path)
    try:
        _migrate(connection, path)
        yield State(connection, path)
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise DamagedStateError(path) from None
        raise
    finally:
        with suppress(sqlite3.Error):
            connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made before SQLite does, so that nobody else can ever read it.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
    except (OSError, sqlite3.OperationalError) as error:
        raise UsageError(f"{path}: the state cannot be opened: {error} (state_folder)") from None
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.OperationalError as error:
        connection.close()
        raise UsageError(f"{path}: the state cannot be opened: {error} (state_folder)") from None
    except sqlite3.DatabaseError:
        connection.close()
        raise DamagedStateError(path) from None
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise UsageError(
            f"{path}: made by a newer version of fhircryo; use that, or fhircryo state reset"
        )
    for number in range(version, VERSION):
        script = f"BEGIN; {_MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
        try:
            connection.executescript(script)
        except sqlite3.OperationalError as error:
            raise UsageError(
                f"{path}: the state cannot be made: {error} (setting state_folder; free space?)"
            ) from None


def set_aside(path: Path) -> Path:
    """Move a damaged state out of the way, and give its new place."""
    place = path.with_suffix(".damaged")
    path.replace(place)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    return place


def remove(path: Path) -> None:
    """Remove a state; the next run is a full one."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
