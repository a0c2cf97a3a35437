"""Grades of complications, from wherever a coding may stand."""

from collections.abc import Iterable

from fhircryo.extract.context import Context
from fhircryo.fhir.wire import CodeableConcept


def grades_of(
    context: Context, concepts: Iterable[CodeableConcept | None]
) -> tuple[tuple[str, str], ...]:
    """All (scale, grade) of the codings, sorted, each once."""
    known = context.mappings.grades
    found = {
        known[coding.system, coding.code]
        for concept in concepts
        if concept is not None
        for coding in concept.coding or ()
        if (coding.system, coding.code) in known
    }
    return tuple(sorted(found))
