"""Codes that a longer entry of another concept takes out of a concept, such as C77.5 of C77."""

from collections.abc import Iterator

from fhircryo.mapping.concepts import CONCEPTS
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.overlay import WithdrawnCode
from fhircryo.mapping.schema import (
    CONDITION_FIELDS,
    ConceptCode,
)

#: A code of a concept, or one that an overlay withdraws from it.
AnyCode = ConceptCode | WithdrawnCode
#: The fields of a code that are conditions, the value of a finding among them.
CONDITIONS = (*CONDITION_FIELDS, "value")


def nested_codes(key: str, mappings: Mappings) -> Iterator[ConceptCode]:
    """Yield the codes of other concepts that begin with a prefix of the concept ``key``.

    The longer code decides, so that they are not codes of the concept. Those that another concept
    has only under conditions are left out: without the condition, the shorter prefix decides.
    """
    merged = mappings.merged
    normal_code = merged.systems.normal_code
    own = {
        (code.system, normal_code(code.system, code.code))
        for code, _ in merged.concepts[key].codes
        if code.descendants
    }
    if not own:
        return
    for other, concept in merged.concepts.items():
        if other == key or not CONCEPTS[other].elements & CONCEPTS[key].elements:
            continue
        for code, _ in concept.codes:
            normal = normal_code(code.system, code.code)
            shorter = ((code.system, normal[:end]) for end in range(1, len(normal)))
            if not any(getattr(code, one) for one in CONDITIONS) and any(
                prefix in own for prefix in shorter
            ):
                yield code
