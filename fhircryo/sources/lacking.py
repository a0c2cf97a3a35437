"""What cannot be concluded from a source: it has no resource of a type, or withholds some."""

from collections.abc import Container, Iterable
from dataclasses import replace

from fhircryo.extract.context import NO_CODE
from fhircryo.extract.medication import BY_REFERENCE
from fhircryo.mapping.concepts import MEDICATED_TYPES
from fhircryo.record.collector import type_of
from fhircryo.record.items import Lacking, Therapy
from fhircryo.sources.resource_types import (
    MEDICATION,
    LackedEvidence,
    lacked_types,
    needed_types,
)
from fhircryo.sources.source import Collected


def with_missing_medications(collected: Collected) -> Collected:
    """The same, with Medications withheld if therapies name their drugs by them alone.

    A source that holds no Medication, and in which no therapy has the code of a drug, does not say
    which drugs were given: any of them may have been salvage therapy.
    """
    if collected.facts.seen.get(MEDICATION) or MEDICATION in collected.withheld:
        return collected
    therapies = [one for one in collected.items.values() if type(one) is Therapy]
    if not any(one.medication for one in therapies) or _names_drugs(therapies, collected):
        return collected
    words = "therapies name Medications, and the source holds none"
    return replace(collected, withheld={**collected.withheld, MEDICATION: words})


def _names_drugs(therapies: Iterable[Therapy], collected: Collected) -> bool:
    """Whether any medication that was ordered, taken or given has the code of its drug."""
    if any(not one.medication and type_of(one.ref) in MEDICATED_TYPES for one in therapies):
        return True
    return any(
        kind in MEDICATED_TYPES and code not in (BY_REFERENCE, NO_CODE)
        for _, kind, code in collected.facts.counted
    )


def lacking_of(
    collected: Collected, complete_types: Iterable[str], *, deaths_complete: bool
) -> Lacking:
    """What the whole source does not hold or withholds, unless the site declares it complete.

    ``complete_types``: the types that a site keeps completely, though there is no such resource.
    ``deaths_complete``: the source knows of every death, as the site declares; otherwise a patient
    without a recorded death may have died.
    """
    complete = frozenset(complete_types)
    present = collected.present | complete
    withheld = collected.withheld.keys() - complete
    absent = {
        evidence
        for evidence, kinds in lacked_types().items()
        if present.isdisjoint(kinds) or not withheld.isdisjoint(needed_types(evidence))
    }
    return Lacking(
        conditions=LackedEvidence.CONDITIONS in absent,
        adverse_events=LackedEvidence.ADVERSE_EVENTS in absent,
        medications=LackedEvidence.MEDICATIONS in absent,
        graded=collected.graded,
        deaths=not deaths_complete,
    )


def lacking_types(lacking: Lacking, withheld: Container[str] = ()) -> list[str]:
    """The names of the types that a source lacks.

    ``withheld``: the types of which the source withholds some; of the types that are evidence of
    the same thing these are named, if there are any.
    """
    found = []
    for evidence, kinds in lacked_types().items():
        if getattr(lacking, evidence):
            named = [kind for kind in needed_types(evidence) if kind in withheld]
            found += sorted(named or kinds)
    return found
