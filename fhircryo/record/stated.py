"""Which clinical events the resources of a source state at all, in whichever patient.

Where nothing in a whole source is mapped to a kind of event, its absence in a patient may mean that
the source does not record it, or that the site's codes are not mapped.
"""

from collections.abc import Collection

from fhircryo.record.items import CauseOfDeath, EventKind, Finding, Item, Therapy

#: The name of the causes of death among what a source states.
CAUSE_OF_DEATH = "cause-of-death"
#: The kinds of events that are looked for.
LOOKED_FOR = (
    str(EventKind.METASTASIS),
    str(EventKind.NODAL_RECURRENCE),
    str(EventKind.LOCAL_RECURRENCE),
    str(EventKind.PROGRESSION),
    str(EventKind.SALVAGE_THERAPY),
    CAUSE_OF_DEATH,
)


def stated_by(item: Item) -> tuple[str, ...]:
    """The kinds of events that an item states, whether or not it can be used."""
    if isinstance(item, Finding):
        return item.kinds
    if isinstance(item, Therapy):
        return () if item.modality else (EventKind.SALVAGE_THERAPY,)
    return (CAUSE_OF_DEATH,) if isinstance(item, CauseOfDeath) else ()


def never_stated(stated: Collection[str]) -> list[str]:
    """The kinds of events that nothing states; ``stated``: those that some resource states."""
    return [kind for kind in LOOKED_FOR if kind not in stated]
