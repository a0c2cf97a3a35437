"""The files of a source that Spark reads, and how their lines reach the readers.

Spark divides plain files at line ends; documents and compressed files are read whole. Every part
has the place of its first byte among all files as its number, so that the order of resources and
the numbers of lines are those of the files, whatever Spark divides.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from fhircryo.errors import SourceError
from fhircryo.fhir.file_lines import BOM, FileLimits, unread_line
from fhircryo.fhir.file_names import DATA_ENDINGS
from fhircryo.fhir.input_files import (
    NOT_DATA,
    FilePart,
    InputFile,
    held,
    input_files,
    read_batches,
    stored_elsewhere,
)
from fhircryo.record.collector import Facts
from fhircryo.runs.spark.storage import Storage

if TYPE_CHECKING:
    import pyarrow as pa

_SCHEME = re.compile(r"^file:/+")
_GLOB = re.compile(r"([\\*?\[\]{},])")


@dataclass(frozen=True)
class SparkPart(FilePart):
    """A part whose lines Spark gives; ``number`` is the place of its first byte in the input."""

    content: Callable[[], Iterator[list[bytes]]] | None = None

    @property
    def sequence(self) -> int:
        """The place of its first byte: a part holds no more resources than bytes."""
        return self.number

    def batches(self) -> Iterator[list[bytes]]:
        """Yield its lines in batches.

        Raises:
            UnreadableResource: the file cannot be read; the lines before that have been yielded.
        """
        return read_batches(self) if self.content is None else self.content()


class Placed(NamedTuple):
    """A file, and the place of its first byte among those of all files."""

    file: InputFile
    place: int


@dataclass(frozen=True)
class SparkInput:
    """The files of a source.

    ``urls``: the URL of each file, by its name, as Hadoop writes it.
    """

    files: Sequence[InputFile]
    urls: dict[str, str]
    passed_over: Sequence[str] = ()

    def placed(self) -> dict[str, Placed]:
        """The files with their places, by URL."""
        found = {}
        place = 0
        for file in self.files:
            found[plain_url(self.urls[file.name])] = Placed(file, place)
            # A compressed file holds at most so many resources as it has unpacked bytes.
            place += 1 + (file.limits.unpacked_bytes if file.compression else file.size)
        return found

    def parts(self) -> Sequence[FilePart]:
        """The files, each as one part; Spark divides those that have no problem."""
        return [SparkPart(one.place, one.file, 0, None) for one in self.placed().values()]

    def parts_read(self, facts: Facts) -> Sequence[FilePart]:
        """The parts that Spark has read, in order.

        Raises:
            SourceError: Spark passed over a file without a word.
        """
        placed = sorted(self.placed().values(), key=lambda one: one.place)
        found: list[FilePart] = []
        starts = sorted(facts.lines)
        position = 0
        missed = []
        for number, one in enumerate(placed):
            end = placed[number + 1].place if number + 1 < len(placed) else None
            first = len(found)
            while position < len(starts) and (end is None or starts[position] < end):
                found.append(SparkPart(starts[position], one.file, starts[position] - one.place, 0))
                position += 1
            if len(found) == first:
                found.append(SparkPart(one.place, one.file, 0, 0))
                if one.file.size and not one.file.problem:
                    missed.append(one.file.name)
        if missed:
            raise SourceError(
                f"{missed[0]}: Spark does not read this file, and {len(missed) - 1} others; it"
                " passes over names that begin with _ : rename the files"
            )
        return found


def spark_input(storage: Storage, limits: FileLimits) -> SparkInput:
    """The files of a source, the same ones that are read without Spark.

    Raises:
        SourceError: the source does not exist, or contains no file to read.
    """
    folder = storage.local_path
    if folder is not None:
        files, passed_over = input_files(folder, limits)
        return SparkInput(files, {one.name: storage.at(one.name) for one in files}, passed_over)
    if not storage.is_folder(storage.url):
        raise SourceError(f"{storage.url}: no such folder; SOURCE must be a folder of NDJSON files")
    found: dict[str, InputFile] = {}
    urls, passed = {}, []
    listed = list(storage.walk())
    own = tuple(
        f"{name.rpartition('/')[0]}/"
        for name, entry in listed
        if entry.name == "manifest.json" and storage.is_result(entry.url.rpartition("/")[0])
    )
    for name, entry in listed:
        if own and name.startswith(own):
            continue
        file = stored_elsewhere(name, entry.size, limits, partial(storage.read, entry.url))
        if file is not None:
            found[name], urls[name] = file, entry.url
        elif Path(entry.name).suffix not in NOT_DATA:
            passed.append(name)
    if all(file.problem for file in found.values()):
        raise SourceError(f"{storage.url}: nothing to read: the folder contains no {DATA_ENDINGS}")
    passed_over = sorted([*passed, *own])
    return SparkInput([found[name] for name in sorted(found)], urls, passed_over)


def plain_url(url: str) -> str:
    """A URL as text, in the one form in which Hadoop and Spark agree."""
    return _SCHEME.sub("/", url)


def spark_path(url: str) -> str:
    """The path by which Spark reads one file: no character of its name is a pattern."""
    return _GLOB.sub(r"\\\1", url)


def parts_of_lines(
    batches: "Iterator[pa.RecordBatch]", placed: dict[str, Placed]
) -> Iterator[SparkPart]:
    """The parts in what a task reads of plain files.

    ``batches``: columns ``value`` (bytes), ``path`` and ``start`` of Spark's block.
    """
    for (path, start), pieces in groupby(_pieces(batches), key=lambda piece: piece[0]):
        file, place = placed[plain_url(unquote(path))]
        yield SparkPart(place + start, file, start, None, _lines_of(pieces, file.limits, start))


def _pieces(
    batches: "Iterator[pa.RecordBatch]",
) -> Iterator[tuple[tuple[str, int], list[bytes]]]:
    """The lines of each batch, divided where another block of a file begins."""
    for batch in batches:
        if not batch.num_rows:
            continue
        values = batch.column(0).to_pylist()
        ends = _ends(batch)
        begin = 0
        for end in ends:
            key = batch.column(1)[begin].as_py(), batch.column(2)[begin].as_py()
            yield key, values[begin:end]
            begin = end


def _ends(batch: "pa.RecordBatch") -> list[int]:
    """Where each block of a batch ends."""
    import pyarrow.compute as pc

    number = batch.num_rows
    if number == 1:
        return [1]
    changes = None
    for column in (batch.column(1), batch.column(2)):
        differ = pc.not_equal(column.slice(1), column.slice(0, number - 1))
        changes = differ if changes is None else pc.or_(changes, differ)
    places = pc.indices_nonzero(changes).to_pylist()
    return [*(place + 1 for place in places), number]


def _lines_of(
    pieces: Iterator[tuple[Any, list[bytes]]], limits: FileLimits, start: int
) -> Callable[[], Iterator[list[bytes]]]:
    def content() -> Iterator[list[bytes]]:
        first = not start
        for _, lines in pieces:
            found = lines
            if max(map(len, lines)) > limits.line_bytes:
                found = [unread_line(limits) if len(x) > limits.line_bytes else x for x in lines]
            if first and found[0].startswith(BOM):
                found[0] = found[0].removeprefix(BOM)
            first = False
            yield found

    return content


def parts_of_files(
    batches: "Iterator[pa.RecordBatch]", placed: dict[str, Placed]
) -> Iterator[SparkPart]:
    """The parts in what a task reads of documents and compressed files.

    ``batches``: columns ``content`` and ``path``.
    """
    for batch in batches:
        for content, path in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            file, place = placed[plain_url(unquote(path))]
            yield SparkPart(place, held(file, content), 0, None)
