"""Checks the conditions under which a code counts."""

from collections.abc import Iterable, Iterator
from typing import Any

from fhircryo.fhir.decode import decode_element
from fhircryo.fhir.wire import ABSENT, CONCEPTS, CONTAINED, REFERENCES, CodeableConcept
from fhircryo.mapping.code_index import CodeCondition
from fhircryo.mapping.normalise import folded
from fhircryo.mapping.tokens import Token


def conditions_hold(conditions: Iterable[CodeCondition], resource: Any) -> bool:
    """Return whether each condition is met by at least one value of the resource."""
    return all(
        any(value in accepted for value in values_of(element, resource))
        for element, accepted in conditions
    )


def values_of(element: str, resource: Any) -> Iterator[Token]:
    """Yield the values of an element: codes, folded texts or statuses."""
    if element == "status":
        yield from _statuses(resource)
    elif element == "specimen":
        yield from _specimens(resource)
    else:
        # The resource may be of a type that has no such element.
        yield from _concepts(decode_element(CONCEPTS, getattr(resource, element, ABSENT)))


def _concepts(concepts: Iterable[CodeableConcept]) -> Iterator[Token]:
    for concept in concepts:
        for coding in concept.coding or ():
            yield (coding.system or "", coding.code or "")
        if concept.text:
            yield folded(concept.text)


def _statuses(resource: Any) -> Iterator[str]:
    """Yield the status; of a Condition, which has no status, the clinicalStatus."""
    if hasattr(resource, "clinical_status"):
        for concept in decode_element(CONCEPTS, resource.clinical_status):
            yield from (coding.code or "" for coding in concept.coding or ())
    else:
        yield getattr(resource, "status", None) or ""


def _specimens(resource: Any) -> Iterator[Token]:
    """Yield the display of each reference to a specimen, and the type of a contained specimen."""
    within: set[str | None] = set()
    for reference in decode_element(REFERENCES, getattr(resource, "specimen", ABSENT)):
        if reference.display:
            yield folded(reference.display)
        name = reference.reference or ""
        if name.startswith("#"):
            within.add(name[1:])
    if within:
        for contained in decode_element(CONTAINED, resource.contained):
            if contained.id in within and contained.type is not None:
                yield from _concepts([contained.type])
