"""The target of a run on Spark: written beside it, and put in its place when it is complete."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fhircryo.errors import UsageError
from fhircryo.publish.folder_target import FILES
from fhircryo.runs.spark.storage import Storage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

#: The columns by which Spark divides what tasks write.
_FILE = "file"
PART_FOLDER = "part"
_WRITTEN = "written"
#: More digits than ranges have, so that the order of the names is that of the patients.
_DIGITS = 5


class SparkTarget:
    """A folder that does not exist, or that an earlier run wrote.

    ``own``: the names of what a run can have written there.

    Raises:
        UsageError: the target is the source, lies around it, or holds something else.
    """

    def __init__(self, storage: Storage, source: str, own: frozenset[str] = FILES) -> None:
        self._storage = storage
        self._own = own
        target = storage.url
        if target == source:
            raise UsageError(
                f"{target}: this is SOURCE, and its files would be lost; name another folder"
            )
        if source.startswith(f"{target}/"):
            raise UsageError(f"{target}: it holds SOURCE; name another folder")
        if storage.exists(target) and not self._may_be_replaced():
            raise UsageError(
                f"{target}: it holds something else; name a folder that does not exist"
            )

    def _may_be_replaced(self) -> bool:
        storage = self._storage
        if not storage.is_folder(storage.url):
            return False
        entries = storage.entries(storage.url)
        return not entries or (
            storage.is_result(storage.url) and all(entry.name in self._own for entry in entries)
        )

    @contextmanager
    def writing(self) -> Iterator[str]:
        """A new folder beside the target, which replaces it at the end."""
        storage = self._storage
        above, _, name = storage.url.rpartition("/")
        work = f"{above}/.{name}.{secrets.token_hex(8)}.tmp"
        storage.make_folder(work)
        try:
            yield work
            if storage.exists(storage.url):
                old = f"{above}/.{name}.{secrets.token_hex(8)}.old"
                storage.rename(storage.url, old)
                storage.rename(work, storage.url)
                storage.remove(old)
            else:
                storage.rename(work, storage.url)
        finally:
            storage.remove(work)

    def clear(self, work: str) -> None:
        """Remove everything that was written."""
        self._storage.remove(work)
        self._storage.make_folder(work)

    def write_parts(self, frame: "DataFrame", work: str) -> None:
        """Write texts by file and part; a task that is repeated leaves one of its results.

        ``frame``: columns ``file``, ``part`` and ``text``.
        """
        frame.write.partitionBy(_FILE, PART_FOLDER).mode("append").option("lineSep", "\n").text(
            f"{work}/{_WRITTEN}"
        )

    def take_parts(self, work: str, file: str) -> Iterator[bytes]:
        """The parts of a file, which are removed."""
        folder = f"{work}/{_WRITTEN}/{_FILE}={file}"
        for part in self._storage.entries(folder):
            for entry in self._storage.entries(part.url):
                yield self._storage.read(entry.url)
        self._storage.remove(folder)

    def name_parts(self, work: str) -> None:
        """Give the parts of every file their place and name."""
        storage = self._storage
        written = f"{work}/{_WRITTEN}"
        for file in storage.entries(written):
            if not file.is_folder or "=" not in file.name:
                continue
            name = file.name.partition("=")[2]
            storage.make_folder(f"{work}/{name}")
            for part in storage.entries(file.url):
                number = int(part.name.partition("=")[2])
                (entry,) = storage.entries(part.url)
                storage.rename(entry.url, f"{work}/{name}/{_part(number)}")
        storage.remove(written)

    def add_files(self, work: str, folder: Path, names: Sequence[str], last: str) -> None:
        """Add files of this machine, each as the last part of the file of its name.

        ``last``: the file that is written when all others are there, and has no parts.
        """
        storage = self._storage
        for name in names:
            path = folder / name
            place = f"{work}/{name}"
            if not storage.exists(place):
                storage.make_folder(place)
            numbers = [int(part.name[-_END:][:_DIGITS]) for part in storage.entries(place)]
            content = path.read_bytes() if path.exists() else b""
            if content:
                storage.write(f"{place}/{_part(max(numbers, default=-1) + 1)}", content)
        storage.write(f"{work}/{last}", (folder / last).read_bytes())


_END = len("00000.ndjson")


def _part(number: int) -> str:
    return f"part-{number:0{_DIGITS}d}.ndjson"
