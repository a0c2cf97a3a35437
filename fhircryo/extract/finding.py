"""Extracts metastases, recurrences and progression that Observations and components state."""

from collections.abc import Iterable
from typing import NamedTuple

from fhircryo.extract.context import Context, Named, is_present, resolved, tokens_of
from fhircryo.fhir.wire import Component, Observation
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.mapping.normalise import folded
from fhircryo.mapping.tokens import Token
from fhircryo.record.items import EventKind, Finding, Item, Reason

#: The concepts of findings, in order of precedence, with the event that each states.
FINDING_KINDS = {
    "metastasis-finding": EventKind.METASTASIS,
    "nodal-recurrence-finding": EventKind.NODAL_RECURRENCE,
    "local-recurrence-finding": EventKind.LOCAL_RECURRENCE,
    "progression-finding": EventKind.PROGRESSION,
}


class Coded(NamedTuple):
    """An Observation or component with the meanings of its code."""

    element: Observation | Component
    entries: list[CodeEntry]


def finding(resource: Observation, places: Iterable[Coded], named: Named, context: Context) -> Item:
    """Return the item of an Observation of a used status with a code of a finding.

    ``places``: the Observation and its components. One item states all events that any of them
    states.
    """
    kinds: set[EventKind] = set()
    without_value = False
    for element, entries in places:
        for entry in entries:
            kind = FINDING_KINDS.get(entry.concept)
            if kind is None:
                continue
            if is_present(element.data_absent_reason):
                without_value = True
            elif entry.values is None:
                kinds.add(kind)
            else:
                stated = _values(element)
                without_value = without_value or not stated
                if not entry.values.isdisjoint(stated):
                    kinds.add(kind)
    if not kinds:
        if without_value:
            return named.not_used(Reason.VALUE, "no value")
        return named.dropped(Reason.UNMAPPED_CODE)
    _, when = context.first_date(
        resource.effective_date_time, resource.effective_instant, resource.effective_period
    )
    return Finding(
        kinds=tuple([kind for kind in FINDING_KINDS.values() if kind in kinds]),
        when=when,
        primaries=tuple(resolved(context, resource.focus, "Condition")),
        **named.fields(),
    )


def _values(element: Observation | Component) -> set[Token]:
    """Return the codes and texts of the value."""
    found = tokens_of(element.value_codeable_concept)
    if element.value_string:
        found.add(folded(element.value_string))
    return found
