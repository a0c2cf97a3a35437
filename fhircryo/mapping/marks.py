"""By what it is seen that an overlay fits the source: what it names, and the source holds."""

from typing import NamedTuple

from fhircryo.mapping.code_index import Pair
from fhircryo.mapping.layers import Layers

#: Something that an overlay names: its kind (``unit``, ``extension``, ``canonical``), and itself.
Mark = tuple[str, str]


class FormMarks(NamedTuple):
    """The linkIds and coded answers that an overlay names."""

    links: frozenset[str]
    answers: frozenset[Pair]


def index_marks(layers: Layers) -> dict[Mark, int]:
    """The units, extensions and canonicals that overlays name, with the number of the overlay."""
    found: dict[Mark, int] = {}
    for unit, placed in layers.units.items():
        found["unit", unit] = placed.place.layer
    for url, (_, place) in layers.all_extensions().items():
        found["extension", url] = place.layer
    for form in layers.forms.by_key.values():
        for (canonical,), place in form.said("", "canonicals"):
            found["canonical", canonical or ""] = place.layer
    return {mark: layer for mark, layer in found.items() if layer}


def index_form_marks(layers: Layers) -> dict[int, FormMarks]:
    """What overlays name within questionnaires, by the number of the overlay."""
    facts = [fact for form in layers.forms.by_key.values() for fact in form.facts.items()]
    found: dict[int, FormMarks] = {}
    for number in sorted({place.layer for _, place in facts} - {0}):
        mine = [fact for fact, place in facts if place.layer == number]
        links = (fact.value[0] for fact in mine if fact.what == "link_ids")
        answers = (fact.value for fact in mine if fact.what == "answers")
        found[number] = FormMarks(
            frozenset(link for link in links if link),
            frozenset((system, code) for system, code in answers),
        )
    return found
