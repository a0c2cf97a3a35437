"""What cannot be concluded from a source, because it has no resource of a type."""

from collections.abc import Iterable

from fhircryo.record.items import Lacking
from fhircryo.sources.resource_types import LackedEvidence, lacked_types
from fhircryo.sources.source import Collected


def lacking_of(
    collected: Collected, complete_types: Iterable[str], *, deaths_complete: bool
) -> Lacking:
    """What the whole source does not hold and the site does not declare complete either.

    ``complete_types``: the types that a site keeps completely, though there is no such resource.
    ``deaths_complete``: the source knows of every death, as the site declares; otherwise a patient
    without a recorded death may have died.
    """
    present = collected.present.union(complete_types)
    absent = {evidence for evidence, kinds in lacked_types().items() if present.isdisjoint(kinds)}
    return Lacking(
        conditions=LackedEvidence.CONDITIONS in absent,
        adverse_events=LackedEvidence.ADVERSE_EVENTS in absent,
        medications=LackedEvidence.MEDICATIONS in absent,
        graded=collected.graded,
        deaths=not deaths_complete,
    )


def lacking_types(lacking: Lacking) -> list[str]:
    """The names of the types that a source lacks."""
    return [
        kind
        for evidence, kinds in lacked_types().items()
        if getattr(lacking, evidence)
        for kind in sorted(kinds)
    ]
