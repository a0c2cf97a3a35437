"""Reads grades of complications from codings, texts and numbers."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fhircryo.extract.context import Context, is_present
from fhircryo.extract.numbers import is_sized, number
from fhircryo.fhir.decode import decode_element
from fhircryo.fhir.wire import COMPONENTS, CodeableConcept, Component, Extension, Observation
from fhircryo.mapping.concepts import GRADINGS
from fhircryo.mapping.grade_index import GradeEntry


class GradeStatement(NamedTuple):
    """A CodeableConcept or text that may state a grade; a number is given as text.

    ``scale``: the only scale that it can be of (empty: any).
    """

    concept: CodeableConcept | None = None
    text: str = ""
    scale: str = ""


def grades_of(
    context: Context, statements: Iterable[GradeStatement]
) -> tuple[tuple[str, str], ...]:
    """Return the distinct stated grades, each as (scale, grade), sorted."""
    known = context.mappings.grade_index
    found: set[tuple[str, str]] = set()
    for concept, text, scale in statements:
        entries: list[GradeEntry | None] = [known.of_text(text, scale)] if text else []
        if concept is not None:
            # A coding identifies its scale by itself.
            entries += (known.codes.get((one.system, one.code)) for one in concept.coding or ())
            if concept.text:
                entries.append(known.of_text(concept.text, scale))
        for entry in entries:
            if entry is not None:
                found.add((entry.scale, entry.grade))
                if entry.layer:
                    context.overlays_met.add(entry.layer)
    return tuple(sorted(found))


def by_value(element: Observation | Component, scale: str) -> Iterator[GradeStatement]:
    """Yield what the value of an Observation or component may state."""
    if is_present(element.data_absent_reason):
        return
    yield GradeStatement(element.value_codeable_concept, element.value_string or "", scale)
    if element.value_integer is not None:
        yield GradeStatement(text=_plain(element.value_integer, "valueInteger"), scale=scale)
    if element.value_quantity is not None and element.value_quantity.value is not None:
        yield GradeStatement(
            text=_plain(element.value_quantity.value, "valueQuantity.value"), scale=scale
        )


def by_components(resource: Observation, context: Context) -> Iterator[GradeStatement]:
    """Yield what the components that are coded as a grading may state."""
    for component in decode_element(COMPONENTS, resource.component):
        for entry in context.entries(component.code, resource):
            if entry.concept in GRADINGS:
                yield from by_value(component, entry.of)


def by_extensions(
    extensions: Iterable[Extension] | None, context: Context
) -> Iterator[GradeStatement]:
    """Yield what the extensions that are mapped as stating a grade may state."""
    for extension in extensions or ():
        scale = context.mappings.extensions.get(extension.url or "")
        if scale is None:
            continue
        context.meet("extension", extension.url or "")
        text = extension.value_string or extension.value_code or ""
        yield GradeStatement(extension.value_codeable_concept, text, scale)
        if extension.value_coding is not None:
            yield GradeStatement(CodeableConcept(coding=[extension.value_coding]), scale=scale)
        if extension.value_integer is not None:
            yield GradeStatement(text=_plain(extension.value_integer, "valueInteger"), scale=scale)


def _plain(value: Any, element: str) -> str:
    """Return a number as the text of a grade, without trailing zeros (3.0 is "3").

    A number that is too large or too long to be a grade gives no text.
    """
    found = number(value, element)
    if not is_sized(found):
        return ""
    return str(int(found)) if found == int(found) else str(found)
