"""Indexes the grades of complications by coding and by text."""

from typing import NamedTuple

from fhircryo.errors import UsageError
from fhircryo.mapping.code_index import SystemAndCode
from fhircryo.mapping.locations import Location
from fhircryo.mapping.normalise import folded
from fhircryo.mapping.overlay_merge import MergedMappings


class GradeEntry(NamedTuple):
    """A grade of a scale; ``layer``: 0 for a shipped entry, else the number of the overlay."""

    scale: str
    grade: str
    layer: int


def index_grades(
    merged: MergedMappings,
) -> tuple[dict[SystemAndCode, GradeEntry], dict[str, GradeEntry]]:
    """Return the grades by system and code, and the grades by folded text.

    Raises:
        UsageError: a coding or text is defined twice.
    """
    codes: dict[SystemAndCode, tuple[GradeEntry, Location]] = {}
    texts: dict[str, tuple[GradeEntry, Location]] = {}
    for name, scale in merged.scales.items():
        own = scale.scale
        for grade in own.order:
            codes[own.system, grade] = GradeEntry(name, grade, 0), scale.location
        for code, location in scale.codes:
            pair = (code.system, code.code)
            if pair in codes:
                raise _twice(name, f"{code.system}|{code.code}", location, codes[pair][1])
            codes[pair] = GradeEntry(name, code.grade, location.layer), location
        for text, location in scale.texts:
            words = folded(text.text)
            if words in texts:
                raise _twice(name, repr(text.text), location, texts[words][1])
            texts[words] = GradeEntry(name, text.grade, location.layer), location
    return (
        {pair: entry for pair, (entry, _) in codes.items()},
        {words: entry for words, (entry, _) in texts.items()},
    )


def _twice(scale: str, what: str, location: Location, other: Location) -> UsageError:
    return UsageError(f"{location}: grades.scales.{scale}: {what} is already defined at {other}")
