"""The state of sync runs: a SQLite database of identifiers and versions, without clinical values.

It is written in one transaction after the target has acknowledged what was written. If it is lost,
the next run is a full run.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from fhircryo.errors import UsageError

#: Versions are deleted before the references by which they are found.
_REMOVE_PATIENT = (
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
    """What the state holds about a patient whose computed endpoints are on the target.

    ``patient``: the current id. ``aliases``: all ids of the patient, the current one included.
    ``refs``: the resources that the endpoints depend on, or could depend on. ``published``:
    identifiers of the endpoints. ``due``: the next day on which an endpoint changes by time alone.
    """

    patient: str
    aliases: set[str] = field(default_factory=set)
    refs: set[str] = field(default_factory=set)
    published: set[str] = field(default_factory=set)
    due: date | None = None


@dataclass(frozen=True)
class Pending:
    """A patient whose endpoints could not be written.

    ``why``: the last error. ``since``: the time of the first attempt. ``tries``: the number of
    attempts.
    """

    patient: str
    why: str
    since: str
    tries: int


class DamagedStateError(Exception):
    """The state file is damaged and cannot be read as a database."""


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether an error means that the file is damaged; subclasses mean other errors."""
    return type(error) is sqlite3.DatabaseError


class State:
    """An open state database."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

    # --- facts and watermarks

    def fact(self, name: str) -> str | None:
        """The value of a fact about the last full run; None if it is not set."""
        row = self._connection.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        """Set the value of a fact."""
        self._connection.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    def watermarks(self) -> dict[str, str]:
        """By resource type, the server's time up to which the type was read."""
        return dict(self._connection.execute("SELECT kind, stamp FROM watermark"))

    def set_watermarks(self, watermarks: dict[str, str]) -> None:
        """Set the watermarks of some resource types."""
        rows = watermarks.items()
        self._connection.executemany("INSERT OR REPLACE INTO watermark VALUES (?, ?)", rows)

    # --- resources

    def versions(self, refs: Iterable[str]) -> dict[str, str]:
        """The versions in which the given resources were last read."""
        sql = "SELECT ref, version FROM version WHERE ref IN (SELECT value FROM json_each(?))"
        return dict(self._connection.execute(sql, _as_parameter(refs)))

    def set_versions(self, versions: dict[str, str]) -> None:
        """Set the versions in which resources were read."""
        rows = versions.items()
        self._connection.executemany("INSERT OR REPLACE INTO version VALUES (?, ?)", rows)

    def patients_depending_on(self, refs: Iterable[str]) -> set[str]:
        """The patients whose endpoints depend, or could depend, on any of the given resources."""
        sql = "SELECT patient FROM stands_on WHERE ref IN (SELECT value FROM json_each(?))"
        return {str(row[0]) for row in self._connection.execute(sql, _as_parameter(refs))}

    # --- patients

    def current_id(self, patient: str) -> str | None:
        """The current id of the patient who has the given id; None if the patient is unknown."""
        sql = "SELECT patient FROM alias WHERE id = ?"
        row = self._connection.execute(sql, (patient,)).fetchone()
        return None if row is None else str(row[0])

    def ids_of(self, patients: Iterable[str]) -> set[str]:
        """All ids of the given patients, replaced ids included."""
        sql = "SELECT id FROM alias WHERE patient IN (SELECT value FROM json_each(?))"
        return {str(row[0]) for row in self._connection.execute(sql, _as_parameter(patients))}

    def published_identifiers(self, patients: Iterable[str] | None = None) -> dict[str, str]:
        """The patient by identifier of a published endpoint, for the given patients or all."""
        if patients is None:
            return dict(self._connection.execute("SELECT identifier, patient FROM published"))
        sql = (
            "SELECT identifier, patient FROM published"
            " WHERE patient IN (SELECT value FROM json_each(?))"
        )
        return dict(self._connection.execute(sql, _as_parameter(patients)))

    def count_published_patients(self) -> int:
        """The number of patients who have published endpoints."""
        sql = "SELECT COUNT(DISTINCT patient) FROM published"
        return int(self._connection.execute(sql).fetchone()[0])

    def patients_due_by(self, day: date) -> set[str]:
        """The patients of whom an endpoint changes by time alone on or before a day."""
        sql = "SELECT patient FROM due WHERE day <= ?"
        return {str(row[0]) for row in self._connection.execute(sql, (day.isoformat(),))}

    def save_patient(self, patient: PatientState) -> None:
        """Replace everything that the state holds about a patient; the patient is not pending."""
        name = patient.patient
        self.remove_patient(name)
        insert = self._connection.executemany
        insert(
            "INSERT OR REPLACE INTO alias VALUES (?, ?)",
            [(alias, name) for alias in patient.aliases],
        )
        insert(
            "INSERT OR REPLACE INTO stands_on VALUES (?, ?)", [(name, ref) for ref in patient.refs]
        )
        published = [(identifier, name) for identifier in patient.published]
        insert("INSERT OR REPLACE INTO published VALUES (?, ?)", published)
        if patient.due is not None:
            insert("INSERT INTO due VALUES (?, ?)", [(name, patient.due.isoformat())])

    def remove_patient(self, patient: str) -> None:
        """Remove everything that the state holds about a patient, given by the current id."""
        for statement in _REMOVE_PATIENT:
            self._connection.execute(statement, (patient,))

    # --- patients whose endpoints could not be written

    def pending(self) -> list[Pending]:
        """The patients whose endpoints could not be written."""
        sql = "SELECT patient, why, since, tries FROM pending WHERE tries > 0 ORDER BY patient"
        return [Pending(*row) for row in self._connection.execute(sql)]

    def begin_writing(self, patients: Iterable[tuple[str, Iterable[str]]]) -> None:
        """Note patients who are about to be written, with the identifiers of their endpoints.

        If the run ends before it saves them, the next run finds by this what it left on the target.
        """
        for patient, identifiers in patients:
            self.add_published(patient, identifiers)
            begun = "INSERT OR IGNORE INTO pending VALUES (?, '', '', 0)"
            self._connection.execute(begun, (patient,))

    def add_published(self, patient: str, identifiers: Iterable[str]) -> None:
        """Note endpoints that are, or may be, on the target, beside those that are noted."""
        rows = [(identifier, patient) for identifier in identifiers]
        self._connection.executemany("INSERT OR IGNORE INTO published VALUES (?, ?)", rows)

    def begun(self) -> set[str]:
        """The patients of whom an earlier run may have written something that it did not save."""
        rows = self._connection.execute("SELECT patient FROM pending WHERE tries = 0")
        return {str(row[0]) for row in rows}

    def mark_pending(self, patient: str, why: str, now: str) -> None:
        """Record another attempt to write a patient's endpoints that failed."""
        self._connection.execute(
            "INSERT INTO pending VALUES (?, ?, ?, 1)"
            " ON CONFLICT (patient) DO UPDATE SET why = excluded.why, tries = tries + 1,"
            " since = CASE tries WHEN 0 THEN excluded.since ELSE since END",
            (patient, why, now),
        )

    def restore_pending(self, pending: Pending) -> None:
        """Put back a pending patient after ``clear``, with the first time and the attempts."""
        row = (pending.patient, pending.why, pending.since, pending.tries)
        self._connection.execute("INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?)", row)

    # --- lists of patients

    def patient_list(self, name: str) -> set[str]:
        """The patients who were on a list (``excluded``, ``listed``) in the last run."""
        sql = "SELECT patient FROM chosen WHERE kind = ?"
        return {str(row[0]) for row in self._connection.execute(sql, (name,))}

    def set_patient_list(self, name: str, patients: Iterable[str]) -> None:
        """Replace the patients of a list."""
        self._connection.execute("DELETE FROM chosen WHERE kind = ?", (name,))
        rows = [(name, patient) for patient in sorted(set(patients))]
        self._connection.executemany("INSERT INTO chosen VALUES (?, ?)", rows)

    # --- the whole database

    def clear(self) -> None:
        """Delete all rows of all tables."""
        for statement in _CLEAR:
            self._connection.execute(statement)

    def check(self) -> None:
        """Check the whole file; other methods find damage only in the pages that they read.

        Raises:
            DamagedStateError: the file is damaged.
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
        """The numbers of rows, by a label to print."""
        tables = {
            "patients": "SELECT COUNT(DISTINCT patient) FROM alias",
            "resources": "SELECT COUNT(DISTINCT ref) FROM stands_on",
            "published endpoints": "SELECT COUNT(*) FROM published",
            "patients with a due date": "SELECT COUNT(*) FROM due",
            "patients pending": "SELECT COUNT(*) FROM pending WHERE tries > 0",
        }
        return {
            label: int(self._connection.execute(sql).fetchone()[0]) for label, sql in tables.items()
        }

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything that is set within the block, or nothing if the block fails.

        Raises:
            UsageError: the file cannot be written; the target keeps what was written to it.
        """
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.OperationalError as error:
            raise UsageError(
                f"{self.path}: the state file cannot be written: {error}; what was written to the"
                " target is kept, and the next run compares it again; check the setting"
                " state_folder and the free disk space"
            ) from None


def _as_parameter(values: Iterable[str]) -> tuple[str]:
    """The parameters of a statement that takes one list of values, for ``json_each``."""
    return (json.dumps(sorted(set(values))),)
