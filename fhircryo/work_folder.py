"""A private folder beside a target, for what a run that breaks off shall not have to read again."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fhircryo.errors import TargetError, UsageError
from fhircryo.files import write_whole

#: What was read longer ago is read again: the record has moved on.
OLDEST = timedelta(hours=24)
_MARK = "fhircryo-work.json"


def work_folder_of(target: Path) -> Path:
    """The work folder of a target."""
    return target.with_name(f"{target.name}.work")


@contextmanager
def work_folder(target: Path, server: str) -> Iterator[Path]:
    """The work folder of a target, with what a run of the last day left of the same server.

    It is removed when all went well, and stays where not, unless nothing was read.

    Raises:
        UsageError: there is a folder of this name that is not ours.
        TargetError: it cannot be written.
    """
    folder = work_folder_of(target.resolve())
    try:
        if folder.exists() and not _goes_on(folder, server):
            shutil.rmtree(folder)
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
            begun = datetime.now(UTC).isoformat(timespec="seconds")
            content = {"fhircryo": "work folder", "server": server, "begun": begun}
            write_whole(folder / _MARK, json.dumps(content).encode())
        folder.chmod(0o700)
    except OSError as error:
        raise TargetError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        yield folder
    except BaseException:
        if {one.name for one in folder.iterdir()} <= {_MARK}:
            shutil.rmtree(folder, ignore_errors=True)  # nothing was read
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _goes_on(folder: Path, server: str) -> bool:
    """Whether what is in a work folder is still of use."""
    try:
        mark = json.loads((folder / _MARK).read_text(encoding="utf-8"))
        begun = datetime.fromisoformat(mark["begun"])
        same = mark["server"] == server
    except (OSError, ValueError, KeyError, TypeError):
        if folder.is_dir() and not any(folder.iterdir()):
            return False
        raise UsageError(f"{folder}: this name is needed, and what is there is not ours") from None
    return same and timedelta(0) <= datetime.now(UTC) - begun < OLDEST
