"""The questionnaires, indexed by what they are found by."""

from typing import NamedTuple

from fhircryo.mapping.layers import Layers
from fhircryo.mapping.schema import Instrument


class Signature(NamedTuple):
    """The linkIds that a form must answer to be known as a questionnaire."""

    links: frozenset[str]
    instruments: tuple[Instrument, ...]
    layer: int


class IndexedForms(NamedTuple):
    """The questionnaires, by what they are found by."""

    instruments: tuple[Instrument, ...]
    canonicals: dict[str, tuple[Instrument, ...]]
    signatures: tuple[Signature, ...]


def index_forms(layers: Layers) -> IndexedForms:
    """The questionnaires by canonical and by signature."""
    instruments: list[Instrument] = []
    canonicals: dict[str, tuple[Instrument, ...]] = {}
    signatures: list[Signature] = []
    for form in layers.forms.by_key.values():
        scored = form.questionnaire.instruments()
        instruments += scored
        for canonical in form.questionnaire.canonicals:
            canonicals[canonical] = (*canonicals.get(canonical, ()), *scored)
        for links, place in form.said("", "signatures"):
            known = frozenset(link for link in links if link)
            signatures.append(Signature(known, scored, place.layer))
    return IndexedForms(tuple(instruments), canonicals, tuple(signatures))
