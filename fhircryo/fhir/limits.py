"""Limits on the responses of servers, which are not trusted: size, nesting, format, encoding."""

from typing import NamedTuple

import requests

from fhircryo.errors import SourceError

_CHUNK = 1 << 16
#: The content encodings that are requested: those that every installation decodes.
ACCEPTED_ENCODINGS = ("gzip", "deflate")
_DECODED = frozenset({*ACCEPTED_ENCODINGS, "x-gzip", "identity", ""})
_MEGABYTE = 1 << 20
#: A longer number in a header is no size.
_MOST_DIGITS = 18
_BRACKETS = bytes.maketrans(b"[]", b"{}")
_NOT_STRUCTURE = bytes(set(range(256)).difference(b'{}[]"'))


class Limits(NamedTuple):
    """The largest responses that are read.

    ``megabytes``: the size of a response after decompression; ``depth``: the nesting of its JSON;
    ``file_gigabytes``: the size of a file of a bulk export, compressed and decompressed.
    """

    megabytes: int = 256
    depth: int = 100
    file_gigabytes: int = 64


class LimitError(SourceError):
    """A response is too large, nested too deeply, or in a format that is not read."""


def read_whole(response: requests.Response, limits: Limits, shown: str) -> None:
    """Read the content of a streamed response within the limits; ``shown``: its URL in messages.

    The decompressed size is counted chunk by chunk, so that a decompression bomb is never expanded.

    Raises:
        LimitError: the content is larger than the limit, or compressed in a way that was not
            requested.
        requests.RequestException: the connection breaks.
    """
    _check_encoding(response, shown)
    largest = limits.megabytes * _MEGABYTE
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and (len(announced) > _MOST_DIGITS or int(announced) > largest):
        response.close()
        raise _too_large(limits, shown)
    chunks = []
    size = 0
    for chunk in response.iter_content(_CHUNK):
        size += len(chunk)
        if size > largest:
            response.close()
            raise _too_large(limits, shown)
        chunks.append(chunk)
    # This is where the library stores the content when it reads a response at once.
    response._content = b"".join(chunks)


def _check_encoding(response: requests.Response, shown: str) -> None:
    encodings = response.headers.get("Content-Encoding", "")
    for encoding in encodings.split(","):
        if encoding.strip().lower() not in _DECODED:
            response.close()
            raise LimitError(
                f"{shown}: the response is compressed as {encoding.strip()[:20]!r}, although only"
                f" {' and '.join(ACCEPTED_ENCODINGS)} were offered: a proxy between may do that"
            )


def _too_large(limits: Limits, shown: str) -> LimitError:
    return LimitError(
        f"{shown}: the response has more than {limits.megabytes} MB and is not read; request"
        " smaller pages (setting page_size), or raise max_response_mb if the size is legitimate"
    )


def check_kind(response: requests.Response, limits: Limits, shown: str) -> None:
    """Check the format and nesting of a response before it is decoded.

    Raises:
        LimitError: the response is XML, or its JSON is nested more deeply than the limit.
    """
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    content = response.content
    if (kind.endswith(("/xml", "+xml")) and "html" not in kind) or content.startswith(b"<?xml"):
        raise LimitError(
            f"{shown}: the response is XML, which is never read, although JSON was requested: does"
            " the server support FHIR as JSON?"
        )
    if is_deeper(content, limits.depth):
        raise LimitError(
            f"{shown}: the response's JSON is nested more than {limits.depth} levels deep and is"
            " not read; raise max_depth if the depth is legitimate"
        )


def is_deeper(content: bytes, depth: int) -> bool:
    """Whether JSON is nested more deeply than ``depth``; invalid JSON is left to the decoder.

    All bytes except brackets outside of strings are removed, and then one level of brackets after
    another, starting with the innermost: few passes over little data, much faster than decoding.
    """
    if b"\\" in content:
        # An escaped quote does not end a string. Escaped backslashes are removed first, because a
        # quote after one is not escaped.
        content = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = content.translate(None, _NOT_STRUCTURE)
    # Two adjacent quotes enclose nothing, or separate two strings that may be joined.
    brackets = brackets.replace(b'""', b"")
    if b'"' in brackets:
        brackets = b"".join(brackets.split(b'"')[::2])
    remaining = brackets.translate(_BRACKETS)
    if b"{" * (depth + 1) in remaining:
        return True
    for _ in range(depth):
        fewer = remaining.replace(b"{}", b"")
        if len(fewer) == len(remaining):
            break
        remaining = fewer
    # A decoder descends into brackets that are never closed, too.
    return b"{}" in remaining or remaining.count(b"{") > depth
