"""Grades of complications, from wherever a coding or a text may state one."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fhircryo.extract.context import Context, number
from fhircryo.fhir.decode import decode_element
from fhircryo.fhir.wire import COMPONENTS, CodeableConcept, Component, Extension, Observation
from fhircryo.mapping.concepts import GRADINGS
from fhircryo.mapping.grade_index import GradeEntry
from fhircryo.mapping.normalise import folded


class Stated(NamedTuple):
    """What may state a grade: coded, or as text (also of a number).

    ``scale``: what stands here is of this scale; empty: of any.
    """

    concept: CodeableConcept | None = None
    text: str = ""
    scale: str = ""


def grades_of(context: Context, places: Iterable[Stated]) -> tuple[tuple[str, str], ...]:
    """All (scale, grade) that are stated, sorted, each once."""
    known = context.mappings.grades
    found: set[tuple[str, str]] = set()
    for concept, text, scale in places:
        entries: list[GradeEntry | None] = [_of_text(text, scale, context)] if text else []
        if concept is not None:
            # A coding says itself of which scale it is.
            entries += (known.get((one.system, one.code)) for one in concept.coding or ())
            if concept.text:
                entries.append(_of_text(concept.text, scale, context))
        for entry in entries:
            if entry is not None:
                found.add((entry.scale, entry.grade))
                if entry.layer:
                    context.overlays_met.add(entry.layer)
    return tuple(sorted(found))


def _of_text(text: str, scale: str, context: Context) -> GradeEntry | None:
    """The grade that a text states; where the scale is known, its own name of a grade will do."""
    words = folded(text)
    if scale:
        for grade in context.mappings.scales[scale].order:
            if folded(grade) == words:
                return GradeEntry(scale, grade, 0)
    entry = context.mappings.grade_texts.get(words)
    return entry if entry is None or scale in ("", entry.scale) else None


def by_value(element: Observation | Component, scale: str) -> Iterator[Stated]:
    """What the value of an Observation, or of a component, may state."""
    if element.data_absent_reason is not None:
        return
    yield Stated(element.value_codeable_concept, element.value_string or "", scale)
    if element.value_integer is not None:
        yield Stated(text=_plain(element.value_integer, "valueInteger"), scale=scale)
    if element.value_quantity is not None and element.value_quantity.value is not None:
        yield Stated(text=_plain(element.value_quantity.value, "valueQuantity.value"), scale=scale)


def by_components(resource: Observation, context: Context) -> Iterator[Stated]:
    """What the components that are coded as a grading may state."""
    for component in decode_element(COMPONENTS, resource.component):
        for entry in context.entries(component.code, resource):
            if entry.concept in GRADINGS:
                yield from by_value(component, entry.of)


def by_extensions(extensions: Iterable[Extension] | None, context: Context) -> Iterator[Stated]:
    """What the extensions that are known to hold a grade may state."""
    for extension in extensions or ():
        scale = context.mappings.extensions.get(extension.url or "")
        if scale is None:
            continue
        context.meet("extension", extension.url or "")
        text = extension.value_string or extension.value_code or ""
        yield Stated(extension.value_codeable_concept, text, scale)
        if extension.value_coding is not None:
            yield Stated(CodeableConcept(coding=[extension.value_coding]), scale=scale)
        if extension.value_integer is not None:
            yield Stated(text=_plain(extension.value_integer, "valueInteger"), scale=scale)


def _plain(value: Any, element: str) -> str:
    """A number as a grade may be called: without decimals that say nothing."""
    found = number(value, element)
    return str(int(found)) if found == int(found) else str(found)
