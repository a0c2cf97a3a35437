"""A line of the shorthand: words by position, then flags and ``name=value`` pairs.

Words with spaces stand in quotes. A word that is not known is an error, so that a slip of the pen
cannot pass.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, overload

from fhircryo.errors import UsageError
from fhircryo.mapping.yamlfile import nearest


class ShorthandError(UsageError):
    """A line says something that the shorthand does not know."""


def named(table: Mapping[str, Any], name: str, what: str) -> Any:
    """The entry of a table.

    Raises:
        ShorthandError: there is none of this name.
    """
    try:
        return table[name]
    except KeyError:
        raise ShorthandError(f"{name!r}: no such {what}{nearest(name, table)}") from None


class Line:
    """A shorthand taken apart; every word has to be taken, see ``done``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words: list[str] = []
        self.named: dict[str, list[str]] = {}
        for word in shlex.split(text):
            name, equals, value = word.partition("=")
            if equals and re.fullmatch(r"[a-z][a-z-]*", name):
                self.named.setdefault(name, []).append(value)
            else:
                self.words.append(word)

    def next(self, default: str | None = None) -> str:
        """The next word by position."""
        if self.words:
            return self.words.pop(0)
        if default is None:
            raise ShorthandError(f"{self.text!r}: a word is missing")
        return default

    def flag(self, allowed: Iterable[str], default: str) -> str:
        """The one word of a set that stands in the line."""
        found = [word for word in self.words if word in allowed]
        if len(found) > 1:
            raise ShorthandError(f"{self.text!r}: {found}")
        if found:
            self.words.remove(found[0])
            return found[0]
        return default

    @overload
    def get(self, name: str, default: str) -> str: ...

    @overload
    def get(self, name: str, default: None = None) -> str | None: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of ``name=value``, given at most once."""
        values = self.named.pop(name, [])
        if len(values) > 1:
            raise ShorthandError(f"{self.text!r}: {name} twice")
        return values[0] if values else default

    def all(self, name: str) -> list[str]:
        """The values of ``name=value``, given any number of times."""
        return self.named.pop(name, [])

    def done(self) -> None:
        """Raise an error if a word was not taken."""
        if self.words or self.named:
            raise ShorthandError(f"{self.text!r}: not known: {self.words + list(self.named)}")
