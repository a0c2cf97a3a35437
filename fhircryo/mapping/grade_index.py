"""Grades of complications, indexed by their codings and texts."""

from typing import NamedTuple

from fhircryo.errors import UsageError
from fhircryo.mapping.code_index import Pair
from fhircryo.mapping.layers import Layers
from fhircryo.mapping.places import Place
from fhircryo.mapping.texts import folded


class GradeEntry(NamedTuple):
    """A grade of a scale; ``layer``: 0 is shipped."""

    scale: str
    grade: str
    layer: int


def index_grades(layers: Layers) -> tuple[dict[Pair, GradeEntry], dict[str, GradeEntry]]:
    """The grades by system and code, and by folded text.

    Raises:
        UsageError: a coding or text stands for two grades, or twice for one.
    """
    codes: dict[Pair, tuple[GradeEntry, Place]] = {}
    texts: dict[str, tuple[GradeEntry, Place]] = {}
    for name, scale in layers.scales.items():
        own = scale.scale
        for grade in own.order:
            codes[own.system, grade] = GradeEntry(name, grade, 0), scale.place
        for code, place in scale.codes:
            pair = (code.system, code.code)
            if pair in codes:
                raise _twice(name, f"{code.system}|{code.code}", place, codes[pair][1])
            codes[pair] = GradeEntry(name, code.grade, place.layer), place
        for text, place in scale.texts:
            words = folded(text.text)
            if words in texts:
                raise _twice(name, repr(text.text), place, texts[words][1])
            texts[words] = GradeEntry(name, text.grade, place.layer), place
    return (
        {pair: entry for pair, (entry, _) in codes.items()},
        {words: entry for words, (entry, _) in texts.items()},
    )


def _twice(scale: str, what: str, place: Place, other: Place) -> UsageError:
    return UsageError(f"{place}: grades.scales.{scale}: {what} stands already at {other}")
