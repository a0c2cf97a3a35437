"""What an answer may be at most: a server, or who speaks in its name, may send anything."""

from typing import NamedTuple

import requests

from fhircryo.errors import SourceError

_CHUNK = 1 << 16
_MEGABYTE = 1 << 20
_BRACKETS = bytes.maketrans(b"[]", b"{}")
_NOT_STRUCTURE = bytes(set(range(256)).difference(b'{}[]"'))


class Limits(NamedTuple):
    """``megabytes`` of an answer, unpacked; ``depth`` of its JSON; of an export's file on disk."""

    megabytes: int = 256
    depth: int = 100
    file_gigabytes: int = 64


class LimitError(SourceError):
    """An answer is larger or deeper than is read, or is of a kind that is not read at all."""


def read_whole(response: requests.Response, limits: Limits, shown: str) -> None:
    """Read an answer that was not read yet, as far as the limits allow; ``shown``: its URL.

    What is packed counts as it is unpacked, piece by piece: a bomb goes off nowhere.

    Raises:
        LimitError: it is more.
        requests.RequestException: the connection breaks.
    """
    most = limits.megabytes * _MEGABYTE
    told = response.headers.get("Content-Length", "")
    if told.isdecimal() and int(told) > most:
        response.close()
        raise _too_large(limits, shown)
    parts = []
    size = 0
    for part in response.iter_content(_CHUNK):
        size += len(part)
        if size > most:
            response.close()
            raise _too_large(limits, shown)
        parts.append(part)
    # As requests itself does it when it reads all at once.
    response._content = b"".join(parts)


def _too_large(limits: Limits, shown: str) -> LimitError:
    return LimitError(
        f"{shown}: the answer has more than {limits.megabytes} MB, and is not read; ask for smaller"
        " pages (setting page_size), or raise max_response_mb if it is right"
    )


def check_kind(response: requests.Response, limits: Limits, shown: str) -> None:
    """Look at an answer before anything decodes it.

    Raises:
        LimitError: it is XML, or nested more deeply than is read.
    """
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    content = response.content
    if (kind.endswith(("/xml", "+xml")) and "html" not in kind) or content.startswith(b"<?xml"):
        raise LimitError(
            f"{shown}: the answer is XML, which is never read; FHIR as JSON was asked for: can the"
            " server give it?"
        )
    if is_deeper(content, limits.depth):
        raise LimitError(
            f"{shown}: the answer's JSON is nested more than {limits.depth} levels deep, and is not"
            " read; raise max_depth if it is right"
        )


def is_deeper(content: bytes, depth: int) -> bool:
    """Whether JSON is nested more deeply; what is no JSON is for its decoder to refuse.

    What is no bracket is taken out, and then one level of brackets after another, the innermost
    first: a few passes over little, many times quicker than a decoder.
    """
    if b"\\" in content:
        # An escaped quote ends no string. Escaped backslashes first: what follows them is not.
        content = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = content.translate(None, _NOT_STRUCTURE)
    # Two quotes that touch hold nothing between them, or part two strings that may be one.
    brackets = brackets.replace(b'""', b"")
    if b'"' in brackets:
        brackets = b"".join(brackets.split(b'"')[::2])
    left = brackets.translate(_BRACKETS)
    if b"{" * (depth + 1) in left:
        return True
    for _ in range(depth):
        fewer = left.replace(b"{}", b"")
        if len(fewer) == len(left):
            break
        left = fewer
    # Openings without an end are what a decoder goes down into as well.
    return b"{}" in left or left.count(b"{") > depth
