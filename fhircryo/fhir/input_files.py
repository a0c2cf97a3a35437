"""Reads folders of FHIR files: NDJSON and JSON documents, plain or compressed, in any subfolder.

Files are read in batches of lines. A plain file can be divided into parts for several readers.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO
from pathlib import Path

import msgspec

from fhircryo.errors import SourceError, UnreadableResource
from fhircryo.fhir.compressed import DAMAGE, open_compressed, words_of_damage
from fhircryo.fhir.file_lines import (
    BOM,
    DEFAULT_LIMITS,
    FileLimits,
    batches,
    is_of_lines,
    pieces_of,
    pieces_of_lines_from,
    within_limit,
)
from fhircryo.fhir.file_names import DATA_ENDINGS, data_name, is_of_bulk_client, why_unread
from fhircryo.fhir.resource_names import KNOWN_TYPES
from fhircryo.fhir.wire import ANYTHING, ARRAY, HEAD
from fhircryo.storage.json_files import read_json

_BY_NAME = {kind.lower(): kind for kind in KNOWN_TYPES}
#: Endings of files that nobody takes for resources.
NOT_DATA = frozenset({".md", ".py"})
#: Resources of different parts are ordered by their part, those of one part by their line.
_SEQUENCES_PER_PART = 40
#: The bytes of a document of many lines that are looked at together.
_PIECE = 1 << 18
#: A manifest of this program is smaller, in bytes.
_LARGEST_MANIFEST = 64 << 20


@dataclass(frozen=True)
class InputFile:
    """A file to read.

    ``name``: its path within the folder, with ``/``. ``size``: in bytes. ``hint``: the resource
    type that its name suggests, which only affects the order of reading. ``document``: it may be
    one JSON document, rather than a document per line. ``compression``: ``gz``, ``zst`` or empty.
    ``problem``: why it cannot be read, although it may hold resources; empty if it can.
    ``limits``: how much of it is read at once, and how far it is unpacked.
    """

    path: Path
    name: str
    size: int
    hint: str | None
    document: bool = False
    compression: str = ""
    problem: str = ""
    limits: FileLimits = DEFAULT_LIMITS

    def open(self) -> BufferedIOBase:
        """Open the file for reading, as it is stored.

        Raises:
            OSError: it cannot be opened.
        """
        return self.path.open("rb")

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
class HeldFile(InputFile):
    """A file whose stored content is in memory."""

    content: bytes = b""

    def open(self) -> BufferedIOBase:
        """Open the content for reading."""
        return BytesIO(self.content)


@dataclass(frozen=True)
class FilePart:
    """The lines of a file that begin at ``start`` <= offset < ``end`` (None: the file's end)."""

    number: int
    file: InputFile
    start: int
    end: int | None

    @property
    def sequence(self) -> int:
        """Where the order of its resources begins, which continues that of earlier parts."""
        return self.number << _SEQUENCES_PER_PART

    def batches(self) -> Iterator[list[bytes]]:
        """Yield its lines in batches, as ``read_batches`` does."""
        return read_batches(self)


def input_files(
    folder: Path, limits: FileLimits = DEFAULT_LIMITS
) -> tuple[list[InputFile], list[str]]:
    """Return the files of a folder and its subfolders, and the names of what is not read in them.

    Both are sorted by name. Files that may hold resources and cannot be read are among the files,
    with their problem.

    Raises:
        SourceError: the folder does not exist, cannot be read, or contains no file to read.
    """
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "no such folder"
        raise SourceError(f"{folder}: {problem}; SOURCE must be a folder of NDJSON files")
    try:
        files, passed_over = _listed(folder, limits)
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


def _listed(source: Path, limits: FileLimits) -> tuple[list[InputFile], list[str]]:
    """Return the files of a folder and its subfolders, and the names of what is passed over."""
    files: list[InputFile] = []
    passed_over: list[str] = []
    seen = {source.resolve()}
    # A list of folders to visit, not recursion: folders may be nested more deeply than Python's
    # stack is.
    waiting = [(source, "", source.resolve())]
    while waiting:
        folder, within, place_of_folder = waiting.pop()
        for path in folder.iterdir():
            if path.name.startswith("."):
                continue
            name = f"{within}{path.name}"
            if path.is_dir():
                place = path.resolve() if path.is_symlink() else place_of_folder / path.name
                if place in seen or _is_own_output(path):
                    passed_over.append(f"{name}/")
                else:
                    seen.add(place)
                    waiting.append((path, f"{name}/", place))
                continue
            file = _input_file(path, name, limits)
            if file is not None:
                files.append(file)
            elif path.suffix not in NOT_DATA:
                passed_over.append(name)
    return files, passed_over


def _is_own_output(folder: Path) -> bool:
    """Return whether this program wrote a folder: an earlier result within the source."""
    with suppress(OSError, ValueError):
        manifest = read_json(folder / "manifest.json", _LARGEST_MANIFEST)
        return isinstance(manifest, dict) and "fhircryo" in manifest
    return False


def _input_file(path: Path, name: str, limits: FileLimits) -> InputFile | None:
    """Return a file that is read, or has to be; None for one that is no data."""
    data = data_name(path.name)
    if data is None:
        problem = why_unread(path) if path.is_file() and path.suffix not in NOT_DATA else ""
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
        limits,
    )
    return None if is_of_bulk_client(path.name) and not _may_hold_resources(file) else file


def stored_elsewhere(
    name: str, size: int, limits: FileLimits, read: Callable[[], bytes]
) -> InputFile | None:
    """Return a file that is not on this machine; None for one that is not to be read.

    ``name``: its path within the source; ``read``: returns its content, to tell whether a file that
    is not named as resources holds some.
    """
    own = name.rpartition("/")[2]
    data = data_name(own)
    path = Path(name)
    if data is None:
        problem = "" if path.suffix in NOT_DATA else why_unread(path, lambda _: read())
        return InputFile(path, name, size, None, problem=problem) if problem else None
    hint = _hint(own) or _hint(name)
    file = InputFile(path, name, size, hint, data.document, data.compression, "", limits)
    if is_of_bulk_client(own) and not _may_hold_resources(held(file, read())):
        return None
    return file


def held(file: InputFile, content: bytes) -> HeldFile:
    """Return a file with its stored content."""
    return HeldFile(
        *(file.path, file.name, file.size, file.hint),
        *(file.document, file.compression, file.problem, file.limits),
        content,
    )


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
    """Return the parts to read: ``size`` bytes of a plain file each, or a whole file of others.

    What is appended to a plain file after it was listed is not read.
    """
    found: list[FilePart] = []
    for file in files:
        whole = file.compression or file.document or file.problem
        length = max(file.size, 1)
        for start in range(0, length, length if whole else size):
            end = None if whole else min(start + size, length)
            found.append(FilePart(len(found), file, start, end))
    return found


def read_batches(part: FilePart) -> Iterator[list[bytes]]:
    """Yield the lines of a part, in batches; a line that is too long as an ``UnreadLine``.

    Raises:
        UnreadableResource: the file cannot be read, is damaged or too large; the lines before that
            have been yielded by then.
    """
    file = part.file
    if file.problem:
        raise UnreadableResource(file.problem)
    try:
        if file.document:
            yield from _documents(file)
        elif file.compression:
            yield from batches(_pieces(file), file.limits)
        else:
            with file.path.open("rb", buffering=0) as plain:
                pieces, start = pieces_of_lines_from(plain, part.start, part.end)
                yield from batches(pieces, file.limits, start, part.end)
    except DAMAGE as error:
        raise UnreadableResource(words_of_damage(file.compression, error)) from None
    except OSError as error:
        raise UnreadableResource(f"the file cannot be read: {error.strerror}") from None


def _pieces(file: InputFile) -> Iterator[bytes]:
    """Yield the content of a file, decompressed; raises UnreadableResource if it is too large."""
    if file.compression:
        with file.open() as packed, open_compressed(packed, file.compression) as stream:
            yield from within_limit(pieces_of(stream), file.limits)
    else:
        with file.open() as plain:
            yield from pieces_of(plain)


def _documents(file: InputFile) -> Iterator[list[bytes]]:
    """Yield a JSON document, or the lines of a file that is named like one.

    Of a damaged file, the lines before the damage are yielded.
    """
    content = bytearray()
    damage: Exception | None = None
    try:
        for piece in _pieces(file):
            content += piece
            if len(content) > file.limits.line_bytes:
                break
    except (*DAMAGE, UnreadableResource) as error:
        damage = error
    if len(content) > file.limits.line_bytes:
        if not is_of_lines(content):
            raise UnreadableResource(f"the JSON document {file.limits.words_of_line}")
        del content
        yield from batches(_pieces(file), file.limits)
        return
    if content.startswith(BOM):
        del content[: len(BOM)]
    of_lines = not _is_document(content) and _has_a_document_on_each_line(content)
    if damage is not None:
        del content[content.rfind(b"\n") + 1 :]
    if of_lines:
        yield from batches(_pieces_in(content), file.limits)
    elif damage is None:
        yield [bytes(content)]
    if damage is not None:
        raise damage


def _is_document(content: bytearray) -> bool:
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        ANYTHING.decode(content)
        return True
    return False


def _has_a_document_on_each_line(content: bytearray) -> bool:
    """Whether each of several lines, the empty ones aside, begins as a document."""
    filled = 0
    # The lines are not held together: a line can be shorter than what Python needs to name it.
    for line in BytesIO(content):
        text = line.strip()
        if text[:1] == b"{" and len(text) > 2:
            filled += 1
        elif text:
            return False
    return filled > 1


def _pieces_in(content: bytearray) -> Iterator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield bytes(content[start : start + _PIECE])
