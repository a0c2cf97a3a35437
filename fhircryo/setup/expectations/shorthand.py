"""The shorthand: lines of words under a case's keys, turned into FHIR R4 resources."""

from collections.abc import Callable

from fhircryo.setup.expectations.complication_lines import adverse_event, grading
from fhircryo.setup.expectations.condition_lines import condition
from fhircryo.setup.expectations.fhir_values import Resource
from fhircryo.setup.expectations.observation_lines import (
    cause,
    characteristic,
    finding,
    progression,
    psa,
    score,
)
from fhircryo.setup.expectations.questionnaire_lines import response
from fhircryo.setup.expectations.therapy_lines import procedure, therapy

#: What turns the lines under a case's key into resources.
SHORTHANDS: dict[str, Callable[[str, int], Resource]] = {
    "index": procedure,
    "psa": psa,
    "conditions": condition,
    "progression": progression,
    "findings": finding,
    "causes": cause,
    "measures": characteristic,
    "adverse_events": adverse_event,
    "gradings": grading,
    "responses": response,
    "scores": score,
    "procedures": procedure,
    "therapies": therapy,
}
