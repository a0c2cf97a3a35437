"""Splits the content of files into lines, within limits on their length."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from io import BufferedIOBase, BytesIO, RawIOBase
from itertools import accumulate
from typing import NamedTuple

from fhircryo.errors import UnreadableResource
from fhircryo.fhir.compressed import DAMAGE

BOM = b"\xef\xbb\xbf"
#: Larger ones do not fit into the cache of a processor, and cost twice the time of the system.
_PIECE = 1 << 18
_BATCH = 1 << 18
_SAMPLE = 1 << 16
_MEGABYTE = 1 << 20
_GIGABYTE = 1 << 30


class FileLimits(NamedTuple):
    """How much of a file is read.

    ``line_megabytes``: the longest line, and the largest JSON document that is not a line;
    ``unpacked_gigabytes``: the size of a compressed file after decompression.
    """

    line_megabytes: int = 512
    unpacked_gigabytes: int = 1024

    @property
    def line_bytes(self) -> int:
        """The longest line, in bytes."""
        return self.line_megabytes * _MEGABYTE

    @property
    def unpacked_bytes(self) -> int:
        """The largest size after decompression, in bytes."""
        return self.unpacked_gigabytes * _GIGABYTE

    @property
    def words_of_line(self) -> str:
        """What is said of a line or document that is longer."""
        return (
            f"has more than {self.line_megabytes} MB and is not read; raise max_line_mb if the"
            " size is legitimate"
        )


#: The limits where no setting says otherwise.
DEFAULT_LIMITS = FileLimits()


class UnreadLine(bytes):
    """Stands for a line that is not read; decoding it raises an error with the ``problem``."""

    problem: str = ""


def unread_line(limits: FileLimits) -> UnreadLine:
    """Return what stands for a line that is longer than the limit."""
    line = UnreadLine(b"(not read)")
    line.problem = f"the line {limits.words_of_line}"
    return line


def pieces_of(stream: BufferedIOBase | RawIOBase) -> Iterator[bytes]:
    """Yield the content of a stream from its position on, as it comes.

    Each piece is yielded before the next is read, so that of a damaged file nothing is lost that
    precedes the damage.
    """
    read = stream.read1 if isinstance(stream, BufferedIOBase) else stream.read
    while piece := read(_PIECE):
        yield piece


def within_limit(pieces: Iterable[bytes], limits: FileLimits) -> Iterator[bytes]:
    """Yield the pieces of a file that is being decompressed.

    Raises:
        UnreadableResource: they are larger than the limit.
    """
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limits.unpacked_bytes:
            raise UnreadableResource(
                f"the file unpacks to more than {limits.unpacked_gigabytes} GB, and is not read"
                " further; raise max_unpacked_gb if the size is legitimate"
            )
        yield piece


def pieces_of_lines_from(
    file: RawIOBase, start: int, end: int | None
) -> tuple[Iterator[bytes], int]:
    """Return the content from the first line on that begins at ``start`` or later.

    Returns:
        The pieces, and the offset at which they begin; no pieces if no line begins before ``end``.
    """
    if not start:
        return pieces_of(file), 0
    # A line belongs to the part in which it begins: the one that ``start`` lies within is skipped,
    # and searched no further than the end of the part, so that a long line is searched once.
    file.seek(start - 1)
    position = start - 1
    while (end is None or position < end) and (piece := file.read(_PIECE)):
        found = piece.find(b"\n")
        if found >= 0:
            file.seek(position + found + 1)
            return pieces_of(file), position + found + 1
        position += len(piece)
    return iter(()), position


def batches(
    pieces: Iterable[bytes], limits: FileLimits, position: int = 0, end: int | None = None
) -> Iterator[list[bytes]]:
    """Yield lines in batches of about a quarter of a megabyte.

    A line that is longer than the limit is skipped, and an ``UnreadLine`` stands in its place.

    ``position``: the offset of the first piece; ``end``: lines that begin there or later are not
    yielded (None: all are).

    Raises:
        One of ``DAMAGE``, or UnreadableResource: reading a piece raised it. The lines before it
        have been yielded by then.
    """
    kept: list[bytes] = []
    size = 0
    newline = skipping = False
    try:
        for piece in pieces:
            if skipping:
                found = piece.find(b"\n") + 1
                position += found or len(piece)
                if not found:
                    continue
                skipping = False
                piece = piece[found:]
            if end is not None and not kept and position >= end:
                return
            kept.append(piece)
            size += len(piece)
            newline = newline or b"\n" in piece
            if newline and size >= _BATCH:
                block = b"".join(kept)
                cut = block.rfind(b"\n") + 1
                yield _lines(block[:cut], limits, position, end)
                position += cut
                kept, size, newline = [block[cut:]], len(block) - cut, False
                if end is not None and position >= end:
                    return
            if not newline and size > limits.line_bytes:
                yield [unread_line(limits)]
                position += size
                kept, size, skipping = [], 0, True
    except (*DAMAGE, UnreadableResource):
        block = b"".join(kept)
        yield _lines(block[: block.rfind(b"\n") + 1], limits, position, end)
        raise
    yield _lines(b"".join(kept), limits, position, end)


def _lines(block: bytes, limits: FileLimits, position: int, end: int | None) -> list[bytes]:
    """Return the lines of a block that begin before ``end``; ``position``: where it begins."""
    lines = BytesIO(block).readlines()
    if end is not None and position + len(block) > end:
        begins = list(accumulate(map(len, lines), initial=position))
        lines = lines[: bisect_left(begins, end)]
    if len(block) > limits.line_bytes:
        lines = [unread_line(limits) if len(one) > limits.line_bytes else one for one in lines]
    if not position and lines and lines[0].startswith(BOM):
        lines[0] = lines[0].removeprefix(BOM)
    return lines


def is_of_lines(content: bytes | bytearray) -> bool:
    """Return whether a file that is named like a JSON document seems to have one on each line."""
    first, newline, _ = bytes(content[:_SAMPLE]).removeprefix(BOM).lstrip().partition(b"\n")
    text = first.strip()
    return bool(newline) and text[:1] == b"{" and text[-1:] == b"}" and len(text) > 2
