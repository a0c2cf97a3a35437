"""Extracts one item from one resource."""

from collections.abc import Callable
from typing import Any

from fhircryo.errors import UnreadableResource
from fhircryo.extract.adverse_event import adverse_event
from fhircryo.extract.condition import condition
from fhircryo.extract.context import Context
from fhircryo.extract.medication import (
    medication,
    medication_administration,
    medication_request,
    medication_statement,
)
from fhircryo.extract.observation import observation
from fhircryo.extract.patient import patient
from fhircryo.extract.procedure import procedure
from fhircryo.extract.questionnaire import questionnaire_response
from fhircryo.fhir.decode import NESTED_TOO_DEEPLY
from fhircryo.record.items import Item

_EXTRACTORS: dict[str, Callable[[Any, str, Context], Item]] = {
    "Patient": patient,
    "Observation": observation,
    "Procedure": procedure,
    "Condition": condition,
    "AdverseEvent": adverse_event,
    "QuestionnaireResponse": questionnaire_response,
    "Medication": medication,
    "MedicationRequest": medication_request,
    "MedicationStatement": medication_statement,
    "MedicationAdministration": medication_administration,
}


def extract(kind: str, resource: Any, context: Context, ref: str = "") -> Item:
    """Return the item of a decoded resource.

    ``kind``: its resource type, one of those that are read. ``ref``: its reference, where that is
    not ``Type/id``.

    Raises:
        UnreadableResource: it has no id, an element of the wrong type, or is nested too deeply.
    """
    if not resource.id:
        raise UnreadableResource(f"a {kind} without id: it cannot be named as evidence")
    try:
        return _EXTRACTORS[kind](resource, ref or f"{kind}/{resource.id}", context)
    except RecursionError:
        # Since Python 3.12, the decoder's stack is deeper than that of Python functions.
        raise UnreadableResource(NESTED_TOO_DEEPLY) from None
