"""Files that an earlier version kept under another name."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def take_over(former: Path, present: Path, companions: Iterable[str] = ()) -> None:
    """Rename a file, unless there is one of the present name; nothing is done if there is none.

    ``companions``: what is appended to the names of files that belong to it, such as a journal of
    SQLite. They are renamed first, so that the file is never without them. The caller makes sure
    that no other process uses the file.

    Raises:
        OSError: the file cannot be renamed.
    """
    if present.exists() or not former.exists():
        return
    for suffix in (*companions, ""):
        with suppress(FileNotFoundError):
            former.with_name(f"{former.name}{suffix}").replace(
                present.with_name(f"{present.name}{suffix}")
            )
