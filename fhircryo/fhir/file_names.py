"""What a file of a folder is, by its name: resources, something else, or data that is not read."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

DATA_ENDINGS = "*.ndjson, *.jsonl, *.json, each plain, .gz or .zst"

_DATA = re.compile(r".*\.(ndjson|jsonl|json)(?:\.(gz|zst))?", re.IGNORECASE | re.DOTALL)
#: What bulk clients leave beside an export: a log, a manifest, a list of errors.
_OF_BULK_CLIENTS = re.compile(
    r"(?:(?:log|log\..*|error.*)\.(?:ndjson|jsonl)|manifest\.json)(?:\.(?:gz|zst))?",
    re.IGNORECASE | re.DOTALL,
)
_UNPACK = "an archive is not read; unpack it"
_DECOMPRESS = "this compression is not read; decompress it, or compress it as .gz or .zst"
_FORMAT = "this format is not read; export NDJSON"
_UNREAD = {
    **dict.fromkeys((".xml", ".ttl", ".turtle", ".rdf"), _FORMAT),
    **dict.fromkeys((".parquet", ".avro", ".orc"), _FORMAT),
    **dict.fromkeys((".zip", ".7z", ".rar", ".tar", ".tgz", ".tbz", ".tbz2", ".txz"), _UNPACK),
    **dict.fromkeys((".bz2", ".xz", ".lzma", ".lz4", ".lzo", ".br", ".z", ".snappy"), _DECOMPRESS),
    **dict.fromkeys((".zz", ".deflate", ".zlib"), _DECOMPRESS),
    **dict.fromkeys((".gz", ".gzip", ".zst", ".zstd"), f"its name does not end as {DATA_ENDINGS}"),
}
#: Sums and signatures of files of resources.
_BESIDE_DATA = frozenset((".crc", ".crc32", ".md5", ".sha1", ".sha256", ".sha512", ".asc", ".sig"))
_NAMED_OTHERWISE = (
    f"the file seems to hold FHIR resources, but its name does not end as {DATA_ENDINGS}"
)
_WITHIN_NAME = re.compile(r"\.(?:ndjson|jsonl|json)\b", re.IGNORECASE)
#: How compressed files, archives and Parquet files begin.
_MAGIC = (
    *(b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"BZh"),
    *(b"\xfd7zXZ", b"7z\xbc\xaf", b"PAR1", b"\x04\x22\x4d\x18"),
)
_SAMPLE = 1 << 16


class DataName(NamedTuple):
    """What the name of a file of resources says.

    ``document``: the file may be one JSON document, rather than a resource per line.
    ``compression``: ``gz``, ``zst`` or empty.
    """

    document: bool
    compression: str


def data_name(name: str) -> DataName | None:
    """Return what the name of a file of resources says; None for the name of another file."""
    match = _DATA.fullmatch(name)
    if match is None:
        return None
    return DataName(match[1].lower() == "json", (match[2] or "").lower())


def is_of_bulk_client(name: str) -> bool:
    """Return whether bulk clients give this name to files that hold no resources."""
    return _OF_BULK_CLIENTS.fullmatch(name) is not None


def why_unread(path: Path, start_of: Callable[[Path], bytes] | None = None) -> str:
    """Return why a file that is not named as resources may hold data that is not read.

    ``start_of``: returns how the file begins; None: the file is on this machine.

    Returns:
        The reason in words; empty for a file that is no data.
    """
    suffix = path.suffix.lower()
    if suffix in _UNREAD:
        return _UNREAD[suffix]
    if suffix in _BESIDE_DATA:
        return ""
    if _WITHIN_NAME.search(path.name):
        return f"its name does not end as {DATA_ENDINGS}"
    try:
        start = (start_of or _start_of)(path)
    except OSError:
        return ""
    if not suffix and start.startswith(_MAGIC):
        return f"the file is compressed, and its name does not end as {DATA_ENDINGS}"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] in (b"{", b"[") and b'"resourceType"' in text:
        return _NAMED_OTHERWISE
    if text[:1] == b"<" and b"http://hl7.org/fhir" in text and suffix not in {".html", ".htm"}:
        return _FORMAT
    return ""


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_SAMPLE)
