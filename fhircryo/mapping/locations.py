"""The locations of entries in the mapping files: file, line and layer."""

from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from fhircryo.errors import UsageError
from fhircryo.mapping.yamlfile import Document, Loc

T = TypeVar("T")


class Location(NamedTuple):
    """The location of an entry; ``layer``: 0 for shipped files, overlays count from 1."""

    file: str
    line: int
    layer: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Located(NamedTuple, Generic[T]):
    """An entry with its location."""

    value: T
    location: Location


class Layer(NamedTuple):
    """A mapping file as one layer; ``number``: 0 for shipped files, overlays count from 1."""

    document: Document
    number: int

    def location(self, *loc: str | int) -> Location:
        """Return the location of a part of the document."""
        return Location(str(self.document.path), self.document.line(loc), self.number)

    def located(self, loc: Loc, values: Sequence[T]) -> Iterator[Located[T]]:
        """Yield the values of the list at ``loc``, each with its location."""
        return (Located(value, self.location(*loc, number)) for number, value in enumerate(values))

    def error(self, loc: Loc, words: str) -> UsageError:
        """Return an error whose message begins with the location of a part of the document."""
        return UsageError(f"{self.document.describe(*loc)}: {words}")
