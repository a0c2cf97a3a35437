"""Indexes the questionnaires by canonical and by signature."""

from typing import NamedTuple

from fhircryo.mapping.instrument_schema import (
    Instrument,
)
from fhircryo.mapping.overlay_merge import MergedMappings


class Signature(NamedTuple):
    """The linkIds by which a response is recognised: it must answer all of them."""

    links: frozenset[str]
    instruments: tuple[Instrument, ...]
    layer: int


class IndexedQuestionnaires(NamedTuple):
    """All instruments, and the instruments by canonical (without version) and by signature."""

    instruments: tuple[Instrument, ...]
    canonicals: dict[str, tuple[Instrument, ...]]
    signatures: tuple[Signature, ...]


def index_questionnaires(merged: MergedMappings) -> IndexedQuestionnaires:
    """Return the index of all questionnaires."""
    instruments: list[Instrument] = []
    canonicals: dict[str, tuple[Instrument, ...]] = {}
    signatures: list[Signature] = []
    for form in merged.questionnaires.by_key.values():
        scored = form.questionnaire.instruments()
        instruments += scored
        for canonical in form.questionnaire.canonicals:
            canonicals[canonical] = (*canonicals.get(canonical, ()), *scored)
        for links, location in form.declared("", "signatures"):
            known = frozenset(link for link in links if link)
            signatures.append(Signature(known, scored, location.layer))
    return IndexedQuestionnaires(tuple(instruments), canonicals, tuple(signatures))
