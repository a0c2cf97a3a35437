"""Indexes the grades of complications by coding, by text and by name."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fhircryo.errors import UsageError
from fhircryo.mapping.code_index import SystemAndCode
from fhircryo.mapping.grade_schema import (
    Scale,
)
from fhircryo.mapping.locations import Location
from fhircryo.mapping.normalise import folded
from fhircryo.mapping.overlay_merge import MergedMappings


class GradeEntry(NamedTuple):
    """A grade of a scale; ``layer``: 0 for a shipped entry, else the number of the overlay."""

    scale: str
    grade: str
    layer: int


class GradeIndex(NamedTuple):
    """The grades by system and code, by folded text, and by scale and folded name.

    ``suffixes``: the additions that may follow a grade, by scale.
    """

    codes: dict[SystemAndCode, GradeEntry]
    texts: dict[str, GradeEntry]
    names: dict[tuple[str, str], GradeEntry]
    suffixes: Mapping[str, tuple[str, ...]]

    def of_text(self, text: str, scale: str = "") -> GradeEntry | None:
        """Return the grade that a text states.

        ``scale``: the only scale that it can be of (empty: any); then the name of a grade suffices.
        """
        words = folded(text)
        entry = self.names.get((scale, words)) or self.texts.get(words) or self._shortened(words)
        return entry if entry is None or scale in ("", entry.scale) else None

    def _shortened(self, words: str) -> GradeEntry | None:
        """Return the grade of a text that ends with a suffix of the grade's scale."""
        for scale, suffixes in self.suffixes.items():
            for suffix in suffixes:
                if words.endswith(suffix):
                    entry = self.texts.get(words.removesuffix(suffix).rstrip(" -"))
                    if entry is not None and entry.scale == scale:
                        return entry
        return None


def index_grades(merged: MergedMappings) -> GradeIndex:
    """Return the index of all grades.

    Raises:
        UsageError: a coding or text is defined twice.
    """
    codes: dict[SystemAndCode, tuple[GradeEntry, Location]] = {}
    texts: dict[str, tuple[GradeEntry, Location]] = {}
    names: dict[tuple[str, str], GradeEntry] = {}
    for name, scale in merged.scales.items():
        for spelling, grade in _spellings(scale.scale):
            entry = GradeEntry(name, grade, 0)
            codes[scale.scale.system, spelling] = entry, scale.location
            names[name, folded(spelling)] = entry
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
    return GradeIndex(
        {pair: entry for pair, (entry, _) in codes.items()},
        {words: entry for words, (entry, _) in texts.items()},
        names,
        {name: tuple(map(folded, scale.scale.suffixes)) for name, scale in merged.scales.items()},
    )


def _spellings(scale: Scale) -> Iterator[tuple[str, str]]:
    """Yield each grade with its name, and with its name and a suffix: IIIb, IIIbd, IIIb-d."""
    for grade in scale.order:
        yield grade, grade
        for suffix in scale.suffixes:
            for between in ("", "-", " "):
                yield f"{grade}{between}{suffix}", grade


def _twice(scale: str, what: str, location: Location, other: Location) -> UsageError:
    return UsageError(f"{location}: grades.scales.{scale}: {what} is already defined at {other}")
