"""Collects what overlays define, to tell whether an overlay matches anything in the source.

An overlay of which nothing occurs in the source is probably the overlay of another site.
"""

from typing import NamedTuple

from fhircryo.mapping.code_index import SystemAndCode
from fhircryo.mapping.overlay_merge import MergedMappings

#: Something that an overlay defines: its kind (``unit``, ``extension``, ``canonical``), its value.
OverlayKey = tuple[str, str]


class QuestionnaireKeys(NamedTuple):
    """The linkIds and coded answers that an overlay defines."""

    links: frozenset[str]
    answers: frozenset[SystemAndCode]


def index_overlay_keys(merged: MergedMappings) -> dict[OverlayKey, int]:
    """Return the units, extensions and canonicals of overlays, with the number of the overlay."""
    found: dict[OverlayKey, int] = {}
    for unit, located in merged.units.items():
        found["unit", unit] = located.location.layer
    for url, (_, location) in merged.all_extensions().items():
        found["extension", url] = location.layer
    for form in merged.questionnaires.by_key.values():
        for (canonical,), location in form.declared("", "canonicals"):
            found["canonical", canonical or ""] = location.layer
    return {key: layer for key, layer in found.items() if layer}


def defining_layers(merged: MergedMappings) -> set[int]:
    """Return the numbers of the layers that define something that can occur in a source.

    An overlay that only withdraws, or only repeats what earlier layers state, does not.
    """
    found: set[int] = set(index_overlay_keys(merged).values())
    for concept in merged.concepts.values():
        found |= {location.layer for _, location in (*concept.codes, *concept.texts)}
    for scale in merged.scales.values():
        found |= {location.layer for _, location in (*scale.codes, *scale.texts)}
    for kind in merged.kinds.kinds.values():
        found |= {location.layer for _, location in (*kind.codes, *kind.texts)}
    for form in merged.questionnaires.by_key.values():
        found.add(form.location.layer)
        found |= {location.layer for location in form.declarations.values()}
    return found


def index_questionnaire_keys(merged: MergedMappings) -> dict[int, QuestionnaireKeys]:
    """Return what overlays define within questionnaires, by the number of the overlay."""
    declarations = [
        declaration
        for form in merged.questionnaires.by_key.values()
        for declaration in form.declarations.items()
    ]
    found: dict[int, QuestionnaireKeys] = {}
    for number in sorted({location.layer for _, location in declarations} - {0}):
        own = [declaration for declaration, location in declarations if location.layer == number]
        links = (declaration.value[0] for declaration in own if declaration.field == "link_ids")
        answers = (declaration.value for declaration in own if declaration.field == "answers")
        found[number] = QuestionnaireKeys(
            frozenset(link for link in links if link),
            frozenset((system, code) for system, code in answers),
        )
    return found
