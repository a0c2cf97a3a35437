"""The schema of the state file, and its migrations."""

import sqlite3
from pathlib import Path

from fhircryo.errors import UsageError

#: The script at index n migrates a state file from version n to version n + 1.
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
    # Watermarks were taken from the server's header Date, which may be ahead of the clock of its
    # data; resources without version and time had the version "@", whatever they said. Without
    # watermarks the next run is a full run.
    """
    DELETE FROM watermark;
    DELETE FROM version WHERE version = '@';
    """,
)
VERSION = len(_MIGRATIONS)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a state file to the present version; an empty file gets the whole schema.

    Raises:
        UsageError: a newer version of the program wrote the file, or it cannot be written.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise UsageError(
            f"{path}: the state file was written by a newer version of fhircryo; use that version,"
            " or run fhircryo state reset"
        )
    for number in range(version, VERSION):
        script = f"BEGIN; {_MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
        try:
            connection.executescript(script)
        except sqlite3.OperationalError as error:
            raise UsageError(
                f"{path}: the state file cannot be created: {error}; check the setting state_folder"
                " and the free disk space"
            ) from None
