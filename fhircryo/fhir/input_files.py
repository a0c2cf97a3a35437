"""Reads folders of FHIR files: NDJSON and JSON documents, plain or compressed, in any subfolder.

Files are read in batches of lines. A plain file can be divided into parts for several readers.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO

import msgspec

from fhircryo.errors import SourceError, UnreadableResource
from fhircryo.fhir.compressed import DAMAGE, open_compressed, words_of_damage
from fhircryo.fhir.file_names import DATA_ENDINGS, data_name, is_of_bulk_client, why_unread
from fhircryo.fhir.resource_names import KNOWN_TYPES
from fhircryo.fhir.wire import ANYTHING, ARRAY, HEAD

_BUFFER = 1 << 20
_BATCH = 1 << 20
_BOM = b"\xef\xbb\xbf"
_BY_NAME = {kind.lower(): kind for kind in KNOWN_TYPES}
_NOT_DATA = frozenset({".md", ".py"})


@dataclass(frozen=True)
class InputFile:
    """A file to read.

    ``name``: its path within the folder, with ``/``. ``size``: in bytes. ``hint``: the resource
    type that its name suggests, which only affects the order of reading. ``document``: it may be
    one JSON document, rather than a document per line. ``compression``: ``gz``, ``zst`` or empty.
    ``problem``: why it cannot be read, although it may hold resources; empty if it can.
    """

    path: Path
    name: str
    size: int
    hint: str | None
    document: bool = False
    compression: str = ""
    problem: str = ""

    def sha256(self) -> str | None:
        """Return the hash of the file as it is stored; None if it cannot be read."""
        try:
            if not self.path.is_file():
                return None
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
    """Return the files of a folder and its subfolders, and the names of what is not read in them.

    Both are sorted by name. Files that may hold resources and cannot be read are among the files,
    with their problem.

    Raises:
        SourceError: the folder does not exist, cannot be read, or contains no file to read.
    """
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "no such folder"
        raise SourceError(f"{folder}: {problem}; SOURCE must be a folder of NDJSON files")
    files: list[InputFile] = []
    passed_over: list[str] = []
    try:
        _list(folder, "", files, passed_over, {folder.resolve()})
    except OSError as error:
        raise SourceError(
            f"{error.filename or folder}: cannot be read: {error.strerror}"
        ) from error
    if all(file.problem for file in files):
        unread = "; ".join(f"{file.name}: {file.problem}" for file in files[:3])
        raise SourceError(
            f"{folder}: nothing to read: the folder contains no {DATA_ENDINGS}"
            + (f" ({unread})" if unread else "")
        )
    return sorted(files, key=lambda file: file.name), sorted(passed_over)


def _list(
    folder: Path, within: str, files: list[InputFile], passed_over: list[str], seen: set[Path]
) -> None:
    """Add the files of a folder; ``within``: its path in the source, ``seen``: folders so far."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        name = f"{within}{path.name}"
        if path.is_dir():
            place = path.resolve()
            if place in seen or _is_own_output(path):
                passed_over.append(f"{name}/")
            else:
                seen.add(place)
                _list(path, f"{name}/", files, passed_over, seen)
            continue
        file = _input_file(path, name)
        if file is not None:
            files.append(file)
        elif path.suffix not in _NOT_DATA:
            passed_over.append(name)


def _is_own_output(folder: Path) -> bool:
    """Return whether this program wrote a folder: an earlier result within the source."""
    with suppress(OSError, ValueError, RecursionError):
        manifest = json.loads((folder / "manifest.json").read_bytes())
        return isinstance(manifest, dict) and "fhircryo" in manifest
    return False


def _input_file(path: Path, name: str) -> InputFile | None:
    """Return a file that is read, or has to be; None for one that is no data."""
    data = data_name(path.name)
    if data is None:
        problem = why_unread(path) if path.is_file() and path.suffix not in _NOT_DATA else ""
        if not problem:
            return None
        return InputFile(path, name, path.stat().st_size, None, problem=problem)
    # A broken link counts as an unreadable file, which reading it will report.
    there = path.exists()
    file = InputFile(
        path,
        name,
        path.stat().st_size if there else 0,
        _hint(path.name) or _hint(name),
        data.document,
        data.compression,
        "it is not a regular file" if there and not path.is_file() else "",
    )
    return None if is_of_bulk_client(path.name) and not _may_hold_resources(file) else file


def _may_hold_resources(file: InputFile) -> bool:
    """Return whether a file holds a FHIR resource, or is damaged so that nobody can tell."""
    try:
        for part in parts([file], max(file.size, 1)):
            for batch in read_batches(part):
                if any(map(_is_resource, batch)):
                    return True
    except UnreadableResource:
        return True
    return False


def _is_resource(line: bytes) -> bool:
    try:
        if line.lstrip()[:1] == b"[":
            return any(_is_resource(bytes(one)) for one in ARRAY.decode(line))
        return HEAD.decode(line).resource_type in KNOWN_TYPES
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _hint(name: str) -> str | None:
    """Return the resource type in a file's name; None if there is none, or more than one."""
    found = {_BY_NAME[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _BY_NAME}
    return found.pop() if len(found) == 1 else None


def parts(files: list[InputFile], size: int) -> list[FilePart]:
    """Return the parts to read: ``size`` bytes of a plain file each, or a whole file of others."""
    found: list[FilePart] = []
    for file in files:
        whole = file.compression or file.document or file.problem
        step = max(file.size, 1) if whole else size
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
    file = part.file
    if file.problem:
        raise UnreadableResource(file.problem)
    try:
        if file.compression:
            with open_compressed(file.path, file.compression) as stream:
                yield from _documents(stream) if file.document else _stream_batches(stream)
        elif file.document:
            yield _document(file.path.read_bytes())
        else:
            with file.path.open("rb", buffering=_BUFFER) as plain:
                yield from _part_batches(plain, part)
    except DAMAGE as error:
        raise UnreadableResource(words_of_damage(file.compression, error)) from None
    except OSError as error:
        raise UnreadableResource(f"the file cannot be read: {error.strerror}") from None


def _document(content: bytes) -> list[bytes]:
    """Return a JSON document as one line, or as many lines if it has a document on each line."""
    content = content.removeprefix(_BOM)
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        ANYTHING.decode(content)
        return [content]
    lines = content.split(b"\n")
    filled = [text for line in lines if (text := line.strip())]
    several = len(filled) > 1 and all(text[:1] == b"{" and len(text) > 2 for text in filled)
    return lines if several else [content]


def _documents(stream: BufferedIOBase) -> Iterator[list[bytes]]:
    """Yield a compressed JSON document; of a damaged one the lines before the damage."""
    content = bytearray()
    try:
        while more := stream.read1(_BUFFER):
            content += more
    except DAMAGE:
        lines = _document(bytes(content))
        if len(lines) > 1:
            yield lines[:-1]
        raise
    yield _document(bytes(content))


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
    except DAMAGE:
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
