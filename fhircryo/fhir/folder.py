"""Folders of NDJSON as bulk exports lay them out: plain or gz, one or many files per type, Bundles.

Files are read in blocks; a plain file can be read in parts, so that several readers share it.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, cast

from fhircryo.errors import SourceError, UnreadableResource
from fhircryo.fhir.types import KNOWN_TYPES

_BLOCK = 4 << 20
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

    def sha256(self) -> str:
        """The hash of the file as it stands."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


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
            if not path.is_file():
                passed_over.append(f"{path.name}/")
            elif path.name.endswith(_ENDINGS) and path.name not in _NOT_RESOURCES:
                files.append(InputFile(path, path.stat().st_size, _hint(path.name)))
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


class Block(NamedTuple):
    """Some lines; ``utf8``: all of them are known to be UTF-8."""

    lines: list[bytes]
    utf8: bool


def read_blocks(part: Part) -> Iterator[Block]:
    """The lines of a part, in blocks.

    Raises:
        UnreadableResource: the file cannot be read, or not to its end; what stood before the
            break has been given.
    """
    try:
        if part.file.whole:
            yield _document(part.file.path.read_bytes())
        elif part.file.zipped:
            with gzip.open(part.file.path, "rb") as zipped:
                yield from _blocks(cast("BufferedReader", zipped), None, at_start=True)
        else:
            with part.file.path.open("rb") as file:
                length = None if part.end is None else part.end - part.start
                if part.start:
                    # A line belongs to the part in which it begins.
                    file.seek(part.start - 1)
                    skipped = len(file.readline()) - 1
                    length = None if length is None else length - skipped
                if length is None or length > 0:
                    yield from _blocks(file, length, at_start=not part.start)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableResource(f"the gzip file is broken or cut short: {error}") from None
    except OSError as error:
        raise UnreadableResource(f"the file cannot be read: {error.strerror}") from None


def _document(content: bytes) -> Block:
    """A JSON document as one line; several of them, one per line, as lines."""
    content = content.removeprefix(_BOM)
    lines = content.split(b"\n")
    filled = [line for line in lines if line.strip()]
    several = len(filled) > 1 and all(line[:1] == b"{" and len(line) > 2 for line in filled)
    return Block(lines if several else [content], utf8=_is_utf8(content))


def _blocks(file: BufferedReader, length: int | None, *, at_start: bool) -> Iterator[Block]:
    """The lines that begin within ``length`` bytes from here, in blocks."""
    pending: list[bytes] = []
    while length is None or length > 0:
        # read1 gives what there is: of a gzip file cut short all that came before the cut.
        block = file.read1(_BLOCK if length is None else min(_BLOCK, length))
        if not block:
            break
        if length is not None:
            length -= len(block)
            if length <= 0 and not block.endswith(b"\n"):
                block += file.readline()
        if at_start:
            block = block.removeprefix(_BOM)
            at_start = False
        cut = block.rfind(b"\n") + 1
        if not cut:
            pending.append(block)
            continue
        pending.append(block[:cut])
        text = b"".join(pending)
        pending = [block[cut:]] if cut < len(block) else []
        lines = text.split(b"\n")
        lines.pop()
        yield Block(lines, _is_utf8(text))
    if pending:
        text = b"".join(pending)
        yield Block([text], _is_utf8(text))


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
