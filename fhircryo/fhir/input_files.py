"""Folders of NDJSON as bulk exports lay them out: plain or gz, one or many files per type, Bundles.

Files are read in blocks; a plain file can be read in parts, so that several readers share it.
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
#: What a computed folder and bulk exports hold beside resources.
_NOT_RESOURCES = frozenset({"manifest.json"})
_NOT_DATA = frozenset({".md", ".py"})


@dataclass(frozen=True)
class InputFile:
    """A file to read. ``hint``: the type that its name speaks of; it orders, it decides nothing."""

    path: Path
    size: int
    hint: str | None

    @property
    def name(self) -> str:
        """Its name in the folder."""
        return self.path.name

    @property
    def zipped(self) -> bool:
        """Whether it is compressed with gzip."""
        return self.name.endswith(".gz")

    @property
    def whole(self) -> bool:
        """Whether it is one JSON document, not lines of them."""
        return self.name.endswith(".json")

    def sha256(self) -> str | None:
        """The hash of the file as it stands; None where it cannot be read."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None


@dataclass(frozen=True)
class Part:
    """The lines of a file that begin in ``start`` <= offset < ``end`` (None: to its end)."""

    number: int
    file: InputFile
    start: int
    end: int | None


def input_files(folder: Path) -> tuple[list[InputFile], list[str]]:
    """The files of a folder to read, by name; and the names of what is passed over.

    Raises:
        SourceError: there is no such folder, it cannot be read, or it holds nothing to read.
    """
    if not folder.is_dir():
        words = "is a file, not a folder" if folder.exists() else "no such folder"
        raise SourceError(f"{folder}: {words}; SOURCE is a folder of NDJSON files")
    files = []
    passed_over = []
    try:
        for path in sorted(folder.iterdir(), key=lambda path: path.name):
            if path.name.startswith("."):
                continue
            if path.is_dir():
                passed_over.append(f"{path.name}/")
            elif path.name.endswith(_ENDINGS) and path.name not in _NOT_RESOURCES:
                # A link into nothing is a file that cannot be read.
                size = path.stat().st_size if path.exists() else 0
                files.append(InputFile(path, size, _hint(path.name)))
            elif path.name not in _NOT_RESOURCES and path.suffix not in _NOT_DATA:
                passed_over.append(path.name)
    except OSError as error:
        raise SourceError(f"{folder}: cannot be read: {error.strerror}") from error
    if not files:
        endings = ", ".join(f"*{ending}" for ending in _ENDINGS)
        raise SourceError(f"{folder}: nothing to read: no {endings} in it")
    return files, passed_over


def _hint(name: str) -> str | None:
    """The one resource type that a file's name speaks of."""
    found = {_BY_NAME[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _BY_NAME}
    return found.pop() if len(found) == 1 else None


def parts(files: list[InputFile], size: int) -> list[Part]:
    """The parts to read: of plain files about ``size`` bytes each, the others whole."""
    found: list[Part] = []
    for file in files:
        step = size if not (file.zipped or file.whole) else max(file.size, 1)
        for start in range(0, max(file.size, 1), step):
            end = start + step if start + step < file.size else None
            found.append(Part(len(found), file, start, end))
    return found


def read_batches(part: Part) -> Iterator[list[bytes]]:
    """The lines of a part, some at a time.

    Raises:
        UnreadableResource: the file cannot be read, or not to its end; what stood before the
            break has been given.
    """
    try:
        if part.file.whole:
            yield _document(part.file.path.read_bytes())
        elif part.file.zipped:
            with gzip.open(part.file.path, "rb") as zipped:
                yield from _of_stream(zipped)
        else:
            with part.file.path.open("rb", buffering=_BUFFER) as file:
                yield from _of_part(file, part)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableResource(f"the gzip file is broken or cut short: {error}") from None
    except OSError as error:
        raise UnreadableResource(f"the file cannot be read: {error.strerror}") from None


def _document(content: bytes) -> list[bytes]:
    """A JSON document as one line; several of them, one per line, as lines."""
    content = content.removeprefix(_BOM)
    lines = content.split(b"\n")
    filled = [line for line in lines if line.strip()]
    several = len(filled) > 1 and all(line[:1] == b"{" and len(line) > 2 for line in filled)
    return lines if several else [content]


def _of_stream(stream: Iterable[bytes]) -> Iterator[list[bytes]]:
    """All lines; of a stream that breaks, those before the break."""
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


def _of_part(file: BinaryIO, part: Part) -> Iterator[list[bytes]]:
    """The lines that begin within a part."""
    position = part.start
    if position:
        # A line belongs to the part in which it begins.
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
            batch = _until(batch, part.end - position)
        position += size
        yield batch


def _until(batch: list[bytes], length: int) -> list[bytes]:
    """The lines that begin within so many bytes."""
    kept = []
    for line in batch:
        if length <= 0:
            break
        kept.append(line)
        length -= len(line)
    return kept
