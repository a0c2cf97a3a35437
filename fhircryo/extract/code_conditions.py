"""Whether a code stands with what it must stand with to count."""

from collections.abc import Iterable, Iterator
from typing import Any

from fhircryo.fhir.decode import decode_element
from fhircryo.fhir.wire import ABSENT, CONCEPTS, CONTAINED, REFERENCES, CodeableConcept
from fhircryo.mapping.code_index import CodeCondition, Token
from fhircryo.mapping.normalise import folded


def hold(conditions: Iterable[CodeCondition], resource: Any) -> bool:
    """Whether a resource meets all conditions; each by one of its values at least."""
    return all(
        any(token in wanted for token in tokens(element, resource))
        for element, wanted in conditions
    )


def tokens(element: str, resource: Any) -> Iterator[Token]:
    """What an element holds: codes, folded texts, statuses."""
    if element == "status":
        yield from _statuses(resource)
    elif element == "specimen":
        yield from _specimens(resource)
    else:
        # A code may stand in a resource that it is not of, and that has no such element.
        yield from _concepts(decode_element(CONCEPTS, getattr(resource, element, ABSENT)))


def _concepts(concepts: Iterable[CodeableConcept]) -> Iterator[Token]:
    for concept in concepts:
        for coding in concept.coding or ():
            yield (coding.system or "", coding.code or "")
        if concept.text:
            yield folded(concept.text)


def _statuses(resource: Any) -> Iterator[str]:
    """The status; of a CodeCondition, which has none, its clinicalStatus."""
    if hasattr(resource, "clinical_status"):
        for concept in decode_element(CONCEPTS, resource.clinical_status):
            yield from (coding.code or "" for coding in concept.coding or ())
    else:
        yield getattr(resource, "status", None) or ""


def _specimens(resource: Any) -> Iterator[Token]:
    """How the reference to the specimen shows it, and the type of one that is contained."""
    for reference in decode_element(REFERENCES, getattr(resource, "specimen", ABSENT)):
        if reference.display:
            yield folded(reference.display)
        name = reference.reference or ""
        if name.startswith("#"):
            for contained in decode_element(CONTAINED, resource.contained):
                if contained.id == name[1:] and contained.type is not None:
                    yield from _concepts([contained.type])
