"""The words by which something of a site may be one of ours: `mappings/words.yaml`, compared."""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, cached_property
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from fhircryo.mapping.concepts import CONCEPTS, SCALES
from fhircryo.mapping.schema import Key, Text
from fhircryo.mapping.yamlfile import StrictModel, nearest, read_document, validate
from fhircryo.storage.shipped_files import shipped

_WORD = re.compile(r"[^\W\d_]+|\d+")
_PATTERN = re.compile(r"\*?(?:[^\W\d_]+|\d+)\*?")

Patterns = tuple[Text, ...]


def plain(text: str) -> str:
    """Words in small letters without diacritics, a space between; letters and digits parted."""
    return " ".join(_WORD.findall(_simple(text)))


def _simple(text: str) -> str:
    parted = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in parted if not unicodedata.combining(letter))


@cache
def _compiled(patterns: Patterns) -> re.Pattern[str]:
    found = []
    for pattern in patterns:
        words = [
            re.escape(word).replace(r"\*", "[^ ]*") for word in _PATTERN.findall(_simple(pattern))
        ]
        found.append(" ".join(words))
    return re.compile(f"(?:^| )(?:{'|'.join(found)})(?= |$)")


def holds(patterns: Patterns, words: str) -> bool:
    """Whether one of the patterns is in a text that was made plain."""
    return bool(patterns) and _compiled(patterns).search(words) is not None


class Said(NamedTuple):
    """What is said of something: its names made plain, and its code where it has one."""

    words: str
    system: str = ""
    code: str = ""

    @classmethod
    def of(cls, names: Iterable[str | None], system: str = "", code: str = "") -> "Said":
        """Names are displays and texts; the code is one, too."""
        # A mark between: no pattern reaches from one name into the next.
        words = " / ".join(plain(name) for name in (*names, code) if name)
        return cls(words, system, code)


class Rule(StrictModel):
    """When something may be ours."""

    any: Patterns = ()
    with_: Annotated[Patterns, Field(alias="with")] = ()
    without: Patterns = ()
    codes: tuple[Text, ...] = ()
    systems: tuple[Text, ...] = ()
    status: tuple[Text, ...] = ()
    remark: str = ""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.any or self.codes):
            raise ValueError("any or codes is needed")
        return self

    def holds(self, said: Said) -> bool:
        """Whether it holds, the status aside."""
        if self.any and not holds(self.any, said.words):
            return False
        if self.with_ and not holds(self.with_, said.words):
            return False
        if self.codes and not said.code.startswith(self.codes):
            return False
        if self.systems and not any(one in said.system.lower() for one in self.systems):
            return False
        return not holds(self.without, said.words)


class Listed(StrictModel):
    """The rules of a concept or instrument; ``search``: texts to ask a server for."""

    search: tuple[Text, ...] = ()
    rules: tuple[Rule, ...]


class ScaleWords(StrictModel):
    """How a grading scale is called, and its grades beside their names."""

    any: Patterns
    short: Patterns = ()
    spellings: dict[Text, tuple[Text, ...]] = {}


class Words(StrictModel):
    """All words."""

    concepts: dict[Key, Listed]
    instruments: dict[Key, Listed]
    scales: dict[Key, ScaleWords]
    beside_grades: tuple[Text, ...]

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name, known in ((self.concepts, CONCEPTS), (self.scales, SCALES)):
            for key in name:
                if key not in known:
                    raise ValueError(f"{key} is not known here{nearest(key, known)}")
        return self

    @cached_property
    def _beside(self) -> frozenset[str]:
        return frozenset(self.beside_grades)

    def scale_of(self, words: str) -> str:
        """The scale that a plain text names, where a grade may stand; empty: none."""
        for key, scale in self.scales.items():
            if holds(scale.any + scale.short, words):
                return key
        return ""

    def grade_of(self, words: str, scale: str, order: Iterable[str]) -> str:
        """The grade that a plain text is, but for the scale's name and words beside; or empty."""
        own = self.scales[scale]
        rest = _compiled(own.any + own.short).sub(" ", words).split()
        left = "".join(word for word in rest if word not in self._beside)
        for grade in order:
            if left in (grade.casefold(), *own.spellings.get(grade, ())):
                return grade
        return ""


class _WordsFile(StrictModel):
    words: Words


def load_words() -> Words:
    """The shipped words."""
    document = read_document(shipped("mappings") / "words.yaml")
    return validate(_WordsFile, document.content, document).words
