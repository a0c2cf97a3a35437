"""Where the entries of the mapping files stand: file, line and layer."""

from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from fhircryo.errors import UsageError
from fhircryo.mapping.yamlfile import Document, Loc

T = TypeVar("T")


class Place(NamedTuple):
    """Where an entry stands; ``layer``: 0 is shipped, overlays count from 1."""

    file: str
    line: int
    layer: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Placed(NamedTuple, Generic[T]):
    """An entry with its place."""

    value: T
    place: Place


class Layer(NamedTuple):
    """A document that is laid over what is there; ``number``: 0 is shipped."""

    document: Document
    number: int

    def place(self, *loc: str | int) -> Place:
        """The place of a part."""
        return Place(str(self.document.path), self.document.line(loc), self.number)

    def placed(self, loc: Loc, values: Sequence[T]) -> Iterator[Placed[T]]:
        """The values of a list, each with its place."""
        return (Placed(value, self.place(*loc, number)) for number, value in enumerate(values))

    def error(self, loc: Loc, words: str) -> UsageError:
        """The error of a part."""
        return UsageError(f"{self.document.place(*loc)}: {words}")
