"""The concepts and grading scales that this version computes with."""

from typing import NamedTuple, get_args

from fhircryo.mapping.schema import ClinicalStatus, ObservationStatus, ProcedureStatus

#: The conditions that a code may have, by the type of the resource that contains it.
CONDITION_FIELDS_OF = {
    "Procedure": frozenset({"body_site", "category", "status"}),
    "Observation": frozenset({"body_site", "category", "specimen", "method", "status"}),
    "Condition": frozenset({"body_site", "category", "status"}),
}

#: The values of the condition ``status``: of ``status``, or of a Condition's ``clinicalStatus``.
STATUSES_OF = {
    "Procedure": get_args(ProcedureStatus),
    "Observation": get_args(ObservationStatus),
    "Condition": get_args(ClinicalStatus),
}


#: The resource types that state that a medication was ordered, taken or administered.
MEDICATED_TYPES = frozenset(
    {"MedicationRequest", "MedicationStatement", "MedicationAdministration"}
)


class ConceptElement(NamedTuple):
    """The resource type and element whose codes are looked up for a concept.

    ``also``: further resource types in which the concept may be coded; no conditions apply there.
    """

    resource: str
    element: str = "code"
    also: frozenset[str] = frozenset()

    def is_read_from(self, resource: str, element: str) -> bool:
        """Return whether the concept is read from this element of this resource type."""
        return element == self.element and (resource == self.resource or resource in self.also)

    @property
    def conditions(self) -> frozenset[str]:
        """The conditions that a code of the concept may have."""
        return CONDITION_FIELDS_OF[self.resource] if self.element == "code" else frozenset()


CONCEPTS = {
    "cryoablation": ConceptElement("Procedure"),
    "procedure-unsuccessful": ConceptElement("Procedure", "outcome"),
    "psa": ConceptElement("Observation"),
    "psa-not-convertible": ConceptElement("Observation"),
    "psa-excluded": ConceptElement("Observation"),
    "disease-status": ConceptElement("Observation"),
    "disease-worsened": ConceptElement("Observation", "value"),
    "metastasis": ConceptElement("Condition"),
    "local-recurrence": ConceptElement("Condition"),
    "clavien-dindo-grading": ConceptElement("Observation"),
    "sir-grading": ConceptElement("Observation"),
    "ctcae-grading": ConceptElement("Observation"),
    "complication-grading": ConceptElement("Observation"),
    "salvage-therapy": ConceptElement("Procedure", also=MEDICATED_TYPES),
}

#: The grading scales that endpoints are computed on.
SCALES = frozenset({"clavien-dindo", "sir-2003", "ctcae-grade"})

#: The concepts of Observations that grade a complication, with their scale (empty: any scale).
GRADINGS = {
    "clavien-dindo-grading": "clavien-dindo",
    "sir-grading": "sir-2003",
    "ctcae-grading": "ctcae-grade",
    "complication-grading": "",
}

#: The concepts whose results have a unit.
WITH_UNIT = frozenset({"psa"})

#: The concept of Observations whose value is the score of a questionnaire.
SCORE = "questionnaire-score"
