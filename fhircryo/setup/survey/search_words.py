"""The words that suggest a mapping (`mappings/words.yaml`), and their comparison with names."""

import re
import unicodedata
from collections.abc import Container, Iterable
from functools import cache, cached_property
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from fhircryo.mapping.concepts import CONCEPTS, SCALES
from fhircryo.mapping.schema import (
    Key,
    Text,
)
from fhircryo.mapping.yamlfile import StrictModel, nearest, read_document, validate
from fhircryo.storage.shipped_files import shipped

_WORD = re.compile(r"[^\W\d_]+|\d+")
_PATTERN = re.compile(r"\*?(?:[^\W\d_]+|\d+)\*?")

Patterns = tuple[Text, ...]


def plain(text: str) -> str:
    """Return the words of a text in lower case, without diacritics, separated by one space.

    Letters and digits are separate words: ``PSA01`` becomes ``psa 01``.
    """
    return " ".join(_WORD.findall(_lower_case(text)))


def _lower_case(text: str) -> str:
    """A text in lower case without diacritics."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


@cache
def _compiled(patterns: Patterns) -> re.Pattern[str]:
    found = []
    for pattern in patterns:
        words = [
            re.escape(word).replace(r"\*", "[^ ]*")
            for word in _PATTERN.findall(_lower_case(pattern))
        ]
        found.append(" ".join(words))
    return re.compile(f"(?:^| )(?:{'|'.join(found)})(?= |$)")


def contains(words: str, patterns: Patterns) -> bool:
    """Return whether plain words contain one of the patterns."""
    return bool(patterns) and _compiled(patterns).search(words) is not None


class Description(NamedTuple):
    """How the source describes something: by its names as plain words, and by its code if any."""

    words: str
    system: str = ""
    code: str = ""

    @classmethod
    def of(cls, names: Iterable[str | None], system: str = "", code: str = "") -> "Description":
        """Return the description by displays, texts and a code; the code counts as a name too."""
        # The separator prevents that a pattern matches across two names.
        words = " / ".join(plain(name) for name in (*names, code) if name)
        return cls(words, system, code)


class Rule(StrictModel):
    """A condition on a description under which a mapping is suggested.

    ``any``: it contains one of these words; ``with``: and one of these; ``without``: and none of
    these. ``codes``: its code begins with one of these; ``systems``: its code system contains one
    of these. ``mapped``: its code, or what the mappings may call it, means one of these concepts.
    ``status``: the resource has one of these statuses. ``kind``: the kind of therapy that is
    suggested.
    """

    any: Patterns = ()
    with_: Annotated[Patterns, Field(alias="with")] = ()
    without: Patterns = ()
    codes: tuple[Text, ...] = ()
    systems: tuple[Text, ...] = ()
    mapped: tuple[Key, ...] = ()
    status: tuple[Text, ...] = ()
    remark: str = ""
    kind: str = ""

    @model_validator(mode="after")
    def _has_condition(self) -> Self:
        if not (self.any or self.codes or self.mapped):
            raise ValueError("any, codes or mapped is needed")
        return self

    def matches(self, description: Description, known: Container[str] = ()) -> bool:
        """Return whether the rule matches a description; the status is not compared.

        ``known``: the concepts that the code means, or may mean by the mappings.
        """
        if self.any and not contains(description.words, self.any):
            return False
        if self.with_ and not contains(description.words, self.with_):
            return False
        if self.codes and not description.code.startswith(self.codes):
            return False
        if self.mapped and not any(one in known for one in self.mapped):
            return False
        if self.systems and not any(one in description.system.lower() for one in self.systems):
            return False
        return not contains(description.words, self.without)


class SearchRules(StrictModel):
    """The rules of a concept or instrument.

    ``search``: texts for which to search a server. ``values``: the rules of values that state the
    event of a finding, whatever the code beside them.
    """

    search: tuple[Text, ...] = ()
    rules: tuple[Rule, ...]
    values: tuple[Rule, ...] = ()


class ScaleWords(StrictModel):
    """The names of a grading scale, and further spellings of its grades."""

    any: Patterns
    short: Patterns = ()
    spellings: dict[Text, tuple[Text, ...]] = {}


class SearchWords(StrictModel):
    """The whole of `mappings/words.yaml`.

    ``systems``: the names and OIDs under which sites write a code system of the mappings.
    ``beside_grades``: words beside a grade that do not change it, such as "grade".
    """

    systems: dict[Text, Patterns]
    concepts: dict[Key, SearchRules]
    instruments: dict[Key, SearchRules]
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
    def _ignored(self) -> frozenset[str]:
        return frozenset(self.beside_grades)

    def scale_of(self, words: str, *, short: bool = True) -> str:
        """Return the scale that plain words name; empty if they name none.

        ``short``: short names count, too.
        """
        for key, scale in self.scales.items():
            if contains(words, scale.any + (scale.short if short else ())):
                return key
        return ""

    def grade_of(self, words: str, scale: str, order: Iterable[str]) -> str:
        """Return the grade that plain words spell; empty if they say anything else.

        The name of the scale and the words of ``beside_grades`` are ignored. ``order``: the
        scale's grades.
        """
        own = self.scales[scale]
        rest = _compiled(own.any + own.short).sub(" ", words).split()
        left = "".join(word for word in rest if word not in self._ignored)
        for grade in order:
            if left in (grade.casefold(), *own.spellings.get(grade, ())):
                return grade
        return ""


class _WordsFile(StrictModel):
    words: SearchWords


def load_words() -> SearchWords:
    """Return the shipped words.

    Raises:
        UsageError: the file is damaged.
    """
    document = read_document(shipped("mappings") / "words.yaml")
    return validate(_WordsFile, document.content, document).words
