"""Files where Spark has them: a local disk, HDFS, S3, by Hadoop's file systems."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pyspark.sql import SparkSession

#: A manifest is smaller, in bytes.
_LARGEST = 64 << 20


class StoredFile(NamedTuple):
    """A file or folder: its name, its URL as text, its size in bytes."""

    name: str
    url: str
    size: int
    is_folder: bool


class Storage:
    """The file system of a URL or path, as Spark's configuration resolves it.

    ``url``: the complete URL.
    """

    def __init__(self, spark: SparkSession, place: str) -> None:
        gateway: Any = spark.sparkContext._jvm
        context: Any = spark.sparkContext._jsc
        self._java = gateway.java
        self._path = gateway.org.apache.hadoop.fs.Path
        path = self._path(place)
        self._files = path.getFileSystem(context.hadoopConfiguration())
        # A checksum file beside each file would be taken for something else in the target.
        self._files.setWriteChecksum(False)
        self.url = str(self._files.makeQualified(path).toString()).rstrip("/")

    @property
    def local_path(self) -> Path | None:
        """The path on this machine; None if the place is elsewhere."""
        if self._files.getUri().getScheme() != "file":
            return None
        return Path(self._path(self.url).toUri().getPath())

    def at(self, name: str) -> str:
        """The URL of what is called so within the place."""
        return f"{self.url}/{name}"

    def exists(self, url: str) -> bool:
        """Whether there is a file or folder."""
        return bool(self._files.exists(self._path(url)))

    def is_folder(self, url: str) -> bool:
        """Whether there is a folder."""
        path = self._path(url)
        return bool(self._files.exists(path) and self._files.getFileStatus(path).isDirectory())

    def entries(self, url: str) -> list[StoredFile]:
        """The files and folders in a folder, by name."""
        found = [
            StoredFile(
                status.getPath().getName(),
                str(status.getPath().toString()),
                int(status.getLen()),
                bool(status.isDirectory()),
            )
            for status in self._files.listStatus(self._path(url))
        ]
        return sorted(found)

    def walk(self) -> Iterator[tuple[str, StoredFile]]:
        """All files of the place and its subfolders, each with its name within the place."""
        waiting = [(self.url, "")]
        while waiting:
            folder, within = waiting.pop()
            for entry in self.entries(folder):
                if entry.name.startswith("."):
                    continue
                if entry.is_folder:
                    waiting.append((entry.url, f"{within}{entry.name}/"))
                else:
                    yield f"{within}{entry.name}", entry

    def make_folder(self, url: str) -> None:
        """Create a folder and those above it."""
        if not self._files.mkdirs(self._path(url)):
            raise OSError(0, f"{url}: the folder cannot be created")

    def rename(self, old: str, new: str) -> None:
        """Rename a file or folder to a name that is free.

        Raises:
            OSError: it cannot be renamed.
        """
        if not self._files.rename(self._path(old), self._path(new)):
            raise OSError(0, f"{old} cannot be renamed to {new}")

    def remove(self, url: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        self._files.delete(self._path(url), True)

    def write(self, url: str, content: bytes) -> None:
        """Write a new file."""
        stream = self._files.create(self._path(url), False)
        try:
            stream.write(bytearray(content))
        finally:
            stream.close()

    def add_folder(self, folder: Path, url: str) -> None:
        """Copy a folder of this machine with all that is in it; ``url``: a folder that exists."""
        for entry in sorted(folder.iterdir()):
            place = f"{url}/{entry.name}"
            if entry.is_dir():
                self.make_folder(place)
                self.add_folder(entry, place)
            else:
                self.add_file(entry, place)

    def add_file(self, path: Path, url: str) -> None:
        """Copy a file of this machine."""
        stream = self._files.create(self._path(url), False)
        try:
            self._java.nio.file.Files.copy(self._java.io.File(str(path)).toPath(), stream)
        finally:
            stream.close()

    def read(self, url: str) -> bytes:
        """The content of a small file; of a larger one the beginning."""
        stream = self._files.open(self._path(url))
        try:
            return bytes(stream.readNBytes(_LARGEST))
        finally:
            stream.close()

    def is_result(self, url: str) -> bool:
        """Whether this program wrote a folder: it holds a manifest of ours."""
        manifest = f"{url}/manifest.json"
        if not self.exists(manifest):
            return False
        try:
            content = json.loads(self.read(manifest))
        except ValueError:
            return False
        return isinstance(content, dict) and "fhircryo" in content
