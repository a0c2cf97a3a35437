"""The format of the mapping files, as pydantic models."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from fhircryo.mapping.yamlfile import Number, StrictModel

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


class CodeRef(StrictModel):
    """A code of a code system."""

    system: Text
    code: Text


class TextRef(StrictModel):
    """A text, compared without regard to case and white space."""

    text: Text


def _kind(value: Any) -> str:
    is_text = "text" in value if isinstance(value, dict) else isinstance(value, TextRef)
    return "(text)" if is_text else "(code)"


#: A code, or a text used instead of a code.
CodeOrText = Annotated[
    Annotated[CodeRef, Tag("(code)")] | Annotated[TextRef, Tag("(text)")], Discriminator(_kind)
]


class Verified(StrictModel):
    """The name and the source of the meaning of a code or text."""

    display: Annotated[Text | None, Field(description="For human readers")] = None
    verified: Annotated[
        Text, Field(description="The source that confirms the meaning, or who checked it and where")
    ]


class Meaning(Verified):
    """The conditions under which a code or text counts, and the source of its meaning."""

    body_site: Annotated[
        tuple[CodeOrText, ...], Field(description="Counts only with one of these body sites")
    ] = ()
    category: Annotated[
        tuple[CodeOrText, ...], Field(description="Counts only with one of these categories")
    ] = ()
    specimen: Annotated[
        tuple[CodeOrText, ...], Field(description="Counts only with one of these specimens")
    ] = ()
    method: Annotated[
        tuple[CodeOrText, ...], Field(description="Counts only with one of these methods")
    ] = ()
    status: Annotated[
        tuple[Text, ...], Field(description="Counts only with one of these statuses")
    ] = ()
    unit: Annotated[Text | None, Field(description="Unit of results that state none; PSA only")] = (
        None
    )
    kind: Annotated[
        Text | None,
        Field(description="Kind of therapy or radiotherapy; unset in an overlay: by resource type"),
    ] = None
    value: Annotated[
        tuple[CodeOrText, ...], Field(description="Findings: counts only with one of these values")
    ] = ()
    any_value: Annotated[
        Literal[True] | None, Field(description="Findings: counts with any value, and with none")
    ] = None
    names_prostate: Annotated[
        bool, Field(strict=True, description="Metastases: the code names the prostate as primary")
    ] = False
    beside: Annotated[
        tuple[CodeRef, ...],
        Field(description="PSA: codes that may stand beside this one and do not contradict it"),
    ] = ()

    @model_validator(mode="after")
    def _value_or_any(self) -> Self:
        if self.value and self.any_value:
            raise ValueError("value and any_value exclude each other")
        return self


#: The fields of :class:`Meaning` that are conditions.
CONDITION_FIELDS = ("body_site", "category", "specimen", "method", "status")

Descendants = Annotated[
    Literal["prefix"] | None,
    Field(description="prefix: all codes of the system that begin with this one count as well"),
]


_CATEGORY = re.compile(r"[A-Z][0-9]{2}")


class ListedCode(CodeRef, Verified):
    """One or more codes with the same meaning.

    ``system`` may be the name of a group of systems, and then stands for all of them. ``to``: the
    last of a range of ICD-10 categories that begins with ``code``. ``more``: further codes to which
    the same applies, each with its name.
    """

    descendants: Descendants = None
    to: Annotated[
        Text | None, Field(description="Last category of a range (C00 to C43); needs descendants")
    ] = None
    more: Annotated[
        dict[Text, Text], Field(description="Further codes like this one, each with its name")
    ] = {}

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.to is None:
            return self
        if self.descendants is None:
            raise ValueError("to needs descendants: prefix")
        ends = (self.code, self.to)
        if (
            not all(map(_CATEGORY.fullmatch, ends))
            or ends[0][0] != ends[1][0]
            or ends
            != (
                min(ends),
                max(ends),
            )
        ):
            raise ValueError("a range is of categories of one letter, such as C00 to C43")
        return self

    def listed(self) -> Iterator[tuple[str, str | None]]:
        """Yield each code that the entry lists, with its name."""
        yield self.code, self.display
        yield from self.more.items()
        if self.to is not None:
            for number in range(int(self.code[1:]) + 1, int(self.to[1:]) + 1):
                yield f"{self.code[0]}{number:02}", self.display


class ConceptCode(ListedCode, Meaning):
    """A code of a concept."""


class ConceptText(TextRef, Meaning):
    """A text of a concept; counts only where nothing is coded."""


class Concept(StrictModel):
    """A concept and its codes."""

    words: Text
    codes: tuple[ConceptCode, ...]
    texts: tuple[ConceptText, ...] = ()
    contradicted_by: Annotated[
        tuple[Text, ...],
        Field(description="Systems of which any other code beside one of the concept excludes it"),
    ] = ()


class ConceptsFile(StrictModel):
    """The concepts.

    ``systems``: groups of code systems that are editions of one classification. Their codes are
    compared without dots and in capitals, and an entry may name the group as its system.
    """

    systems: dict[Key, Annotated[tuple[Text, ...], Field(min_length=1)]]
    concepts: dict[Key, Concept]


class KindText(TextRef):
    """A text of a kind of complication; counts only where nothing is coded."""

    verified: Text


class ComplicationKind(StrictModel):
    """A kind of complication and its codes."""

    words: Text
    codes: tuple[ListedCode, ...]


class KindsFile(StrictModel):
    """The file of the kinds of complications."""

    complication_kinds: dict[Key, ComplicationKind]


Factors = dict[Text, Annotated[Number, Field(gt=0)]]


class UnitTable(StrictModel):
    """Spellings of units and their factor to ``target``."""

    target: Text
    factors: Factors


class UnitsFile(StrictModel):
    """The file of the units."""

    units: dict[Key, UnitTable]
