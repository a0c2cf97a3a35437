"""Pages of searches kept on disk, so that reading which was broken off goes on where it was."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from fhircryo.storage.atomic import PRIVATE, write_whole

_DIGEST = 32


class KeptPage(msgspec.Struct, array_like=True):
    """A page as it was read: its matches, the total that it stated, where the next one is."""

    lines: list[bytes]
    total: int
    link: str | None


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(KeptPage)


class KeptPages:
    """The pages of one server's searches, in a folder of its own; the owner's alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, base: str, kind: str, params: Mapping[str, str]) -> "KeptSearch":
        """The pages of a search, told from others by all that was asked."""
        asked = "\x1f".join([base, kind, *(f"{key}={params[key]}" for key in sorted(params))])
        return KeptSearch(self._folder, hashlib.sha256(asked.encode()).hexdigest())


class KeptSearch:
    """The pages of one search."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._next = 0

    def pages(self) -> Iterator[KeptPage]:
        """The pages in order, up to the first that is not there as it was written."""
        while (page := self._read(self._next)) is not None:
            self._next += 1
            yield page

    @property
    def any(self) -> bool:
        """Whether a page was read or kept."""
        return self._next > 0

    def keep(self, page: KeptPage) -> None:
        """Keep the next page.

        Raises:
            TargetError: it cannot be written.
        """
        content = _ENCODER.encode(page)
        digest = hashlib.sha256(content).digest()
        write_whole(self._path(self._next), digest + content, PRIVATE)
        self._next += 1

    def forget(self) -> None:
        """Begin again: the server no longer knows the search that these pages are of."""
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
