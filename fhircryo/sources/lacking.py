"""What cannot be concluded from a source: it has no resource of a type, or withholds some."""

from collections.abc import Container, Iterable
from dataclasses import replace

from fhircryo.record.items import Lacking, Therapy
from fhircryo.sources.resource_types import (
    MEDICATION,
    LackedEvidence,
    lacked_types,
    needed_types,
)
from fhircryo.sources.source import Collected


def with_missing_medications(collected: Collected) -> Collected:
    """The same, with Medications withheld if therapies name them and the source holds none.

    Which drug such a therapy gives is then not known, so it may be salvage therapy.
    """
    if collected.facts.seen.get(MEDICATION) or MEDICATION in collected.withheld:
        return collected
    if not any(type(one) is Therapy and one.medication for one in collected.items.values()):
        return collected
    words = "therapies name Medications, and the source holds none"
    return replace(collected, withheld={**collected.withheld, MEDICATION: words})


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
