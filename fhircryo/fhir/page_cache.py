"""Stores the pages of searches on disk, so that an interrupted run can continue a search."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from fhircryo.storage.atomic import PRIVATE, write_whole

_DIGEST = 32


class KeptPage(msgspec.Struct, array_like=True):
    """A stored page: its matches, its stated total (0: none), the next page's URL, its outcomes."""

    lines: list[bytes]
    total: int
    link: str | None
    outcomes: list[bytes]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(KeptPage)


class KeptPages:
    """The stored pages of one server's searches, in a private folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, base: str, kind: str, params: Mapping[str, str]) -> "KeptSearch":
        """Return the stored pages of one search; server, type and parameters identify it."""
        search = "\x1f".join([base, kind, *(f"{key}={params[key]}" for key in sorted(params))])
        return KeptSearch(self._folder, hashlib.sha256(search.encode()).hexdigest())


class KeptSearch:
    """The stored pages of one search."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._next = 0

    def pages(self) -> Iterator[KeptPage]:
        """Yield the stored pages in order, up to the first that is missing or damaged."""
        while (page := self._read(self._next)) is not None:
            self._next += 1
            yield page

    @property
    def any(self) -> bool:
        """Whether at least one page has been read from disk or stored."""
        return self._next > 0

    def keep(self, page: KeptPage) -> None:
        """Store the next page.

        Raises:
            TargetError: the page cannot be written.
        """
        content = _ENCODER.encode(page)
        digest = hashlib.sha256(content).digest()
        write_whole(self._path(self._next), digest + content, PRIVATE)
        self._next += 1

    def forget(self) -> None:
        """Delete the stored pages, because the server has discarded the search."""
        while self._next:
            self._next -= 1
            self._path(self._next).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._name}.{number:06d}"

    def _read(self, number: int) -> KeptPage | None:
        try:
            content = self._path(number).read_bytes()
            if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
                return None
            return _DECODER.decode(content[_DIGEST:])
        except (OSError, msgspec.MsgspecError):
            return None
