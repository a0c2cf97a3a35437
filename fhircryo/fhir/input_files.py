"""Reads folders of FHIR files: NDJSON (plain or gzip, any number per type) and JSON documents.

Files are read in batches of lines. A plain file can be divided into parts for several readers.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fhircryo.errors import SourceError, UnreadableResource
from fhircryo.fhir.resource_names import KNOWN_TYPES

_BUFFER = 1 << 20
_BATCH = 1 << 20
_BOM = b"\xef\xbb\xbf"
_ENDINGS = (".ndjson", ".ndjson.gz", ".json")
_BY_NAME = {kind.lower(): kind for kind in KNOWN_TYPES}
#: Files of computed folders and bulk exports that contain no resources.
_NOT_RESOURCES = frozenset({"manifest.json"})
_NOT_DATA = frozenset({".md", ".py"})


@dataclass(frozen=True)
class InputFile:
    """A file to read.

    ``size``: in bytes; ``hint``: the resource type that its name suggests, which only affects the
    order of reading.
    """

    path: Path
    size: int
    hint: str | None

    @property
    def name(self) -> str:
        """The file's name within the folder."""
        return self.path.name

    @property
    def zipped(self) -> bool:
        """Whether the file is compressed with gzip."""
        return self.name.endswith(".gz")

    @property
    def whole(self) -> bool:
        """Whether the file is one JSON document, rather than a document per line."""
        return self.name.endswith(".json")

    def sha256(self) -> str | None:
        """Return the hash of the file as it is stored; None if it cannot be read."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None


@dataclass(frozen=True)
class FilePart:
    """The lines of a file that begin at ``start`` <= offset < ``end`` (None: the file's end)."""

    number: int
    file: InputFile
    start: int
    end: int | None


def input_files(folder: Path) -> tuple[list[InputFile], list[str]]:
    """Return the files of a folder that are read, by name, and the names of those that are not.

    Raises:
        SourceError: the folder does not exist, cannot be read, or contains no file to read.
    """
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "no such folder"
        raise SourceError(f"{folder}: {problem}; SOURCE must be a folder of NDJSON files")
    files = []
    passed_over = []
    try:
        for path in sorted(folder.iterdir(), key=lambda path: path.name):
            if path.name.startswith("."):
                continue
            if path.is_dir():
                passed_over.append(f"{path.name}/")
            elif path.name.endswith(_ENDINGS) and path.name not in _NOT_RESOURCES:
                # A broken link counts as an unreadable file, which reading it will report.
                size = path.stat().st_size if path.exists() else 0
                files.append(InputFile(path, size, _hint(path.name)))
            elif path.name not in _NOT_RESOURCES and path.suffix not in _NOT_DATA:
                passed_over.append(path.name)
    except OSError as error:
        raise SourceError(f"{folder}: cannot be read: {error.strerror}") from error
    if not files:
        endings = ", ".join(f"*{ending}" for ending in _ENDINGS)
        raise SourceError(f"{folder}: nothing to read: the folder contains no {endings}")
    return files, passed_over


def _hint(name: str) -> str | None:
    """Return the resource type in a file's name; None if there is none, or more than one."""
    found = {_BY_NAME[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _BY_NAME}
    return found.pop() if len(found) == 1 else None


def parts(files: list[InputFile], size: int) -> list[FilePart]:
    """Return the parts to read: ``size`` bytes of a plain file each, or a whole file of others."""
    found: list[FilePart] = []
    for file in files:
        step = size if not (file.zipped or file.whole) else max(file.size, 1)
        for start in range(0, max(file.size, 1), step):
            end = start + step if start + step < file.size else None
            found.append(FilePart(len(found), file, start, end))
    return found


def read_batches(part: FilePart) -> Iterator[list[bytes]]:
    """Yield the lines of a part, in batches.

    Raises:
        UnreadableResource: the file cannot be read, or is damaged; the lines before the damage have
            been yielded by then.
    """
    try:
        if part.file.whole:
            yield _document(part.file.path.read_bytes())
        elif part.file.zipped:
            with gzip.open(part.file.path, "rb") as zipped:
                yield from _stream_batches(zipped)
        else:
            with part.file.path.open("rb", buffering=_BUFFER) as file:
                yield from _part_batches(file, part)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableResource(f"the gzip file is damaged or incomplete: {error}") from None
    except OSError as error:
        raise UnreadableResource(f"the file cannot be read: {error.strerror}") from None


def _document(content: bytes) -> list[bytes]:
    """Return a JSON document as one line, or as many lines if it has a document on each line."""
    content = content.removeprefix(_BOM)
    lines = content.split(b"\n")
    filled = [line for line in lines if line.strip()]
    several = len(filled) > 1 and all(line[:1] == b"{" and len(line) > 2 for line in filled)
    return lines if several else [content]


def _stream_batches(stream: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield all lines in batches; after an error in the stream, the lines before it."""
    batch: list[bytes] = []
    size = 0
    first = True
    try:
        for line in stream:
            batch.append(line.removeprefix(_BOM) if first else line)
            first = False
            size += len(line)
            if size >= _BATCH:
                yield batch
                batch, size = [], 0
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield batch
        raise
    yield batch


def _part_batches(file: BinaryIO, part: FilePart) -> Iterator[list[bytes]]:
    """Yield the lines that begin within a part, in batches."""
    position = part.start
    if position:
        # Skip to the first line that begins here: a line belongs to the part in which it begins.
        file.seek(position - 1)
        position += len(file.readline()) - 1
    while part.end is None or position < part.end:
        batch = file.readlines(_BATCH)
        if not batch:
            return
        size = sum(map(len, batch))
        if not position:
            batch[0] = batch[0].removeprefix(_BOM)
        if part.end is not None and position + size > part.end:
            batch = _beginning_within(batch, part.end - position)
        position += size
        yield batch


def _beginning_within(batch: list[bytes], length: int) -> list[bytes]:
    """Return the lines that begin within the first ``length`` bytes of a batch."""
    kept = []
    for line in batch:
        if length <= 0:
            break
        kept.append(line)
        length -= len(line)
    return kept
