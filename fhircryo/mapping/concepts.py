"""The concepts and scales that the program knows what to do with."""

from typing import NamedTuple, get_args

from fhircryo.mapping.schema import ClinicalStatus, ObservationStatus, ProcedureStatus

#: The conditions that a code may have, by the resource that it stands in.
CONDITIONS_OF = {
    "Procedure": frozenset({"body_site", "category", "status"}),
    "Observation": frozenset({"body_site", "category", "specimen", "method", "status"}),
    "Condition": frozenset({"body_site", "category", "status"}),
}

#: What the condition ``status`` is compared with: ``status``; of a Condition its clinicalStatus.
STATUSES_OF = {
    "Procedure": get_args(ProcedureStatus),
    "Observation": get_args(ObservationStatus),
    "Condition": get_args(ClinicalStatus),
}


#: The types that say that a medication was ordered, taken or given.
MEDICATED_TYPES = frozenset(
    {"MedicationRequest", "MedicationStatement", "MedicationAdministration"}
)


class Known(NamedTuple):
    """Where a concept is looked for: a resource type, and an element of it.

    ``also``: further types that are coded as it, under no conditions.
    """

    resource: str
    element: str = "code"
    also: frozenset[str] = frozenset()

    def stands_in(self, resource: str, element: str) -> bool:
        """Whether the concept is looked for there."""
        return element == self.element and (resource == self.resource or resource in self.also)

    @property
    def conditions(self) -> frozenset[str]:
        """What a code of the concept may have to stand with."""
        return CONDITIONS_OF[self.resource] if self.element == "code" else frozenset()


CONCEPTS = {
    "cryoablation": Known("Procedure"),
    "procedure-unsuccessful": Known("Procedure", "outcome"),
    "psa": Known("Observation"),
    "psa-not-convertible": Known("Observation"),
    "psa-excluded": Known("Observation"),
    "disease-status": Known("Observation"),
    "disease-worsened": Known("Observation", "value"),
    "metastasis": Known("Condition"),
    "local-recurrence": Known("Condition"),
    "clavien-dindo-grading": Known("Observation"),
    "sir-grading": Known("Observation"),
    "ctcae-grading": Known("Observation"),
    "complication-grading": Known("Observation"),
    "salvage-therapy": Known("Procedure", also=MEDICATED_TYPES),
}

#: The grading scales that endpoints are computed on.
SCALES = frozenset({"clavien-dindo", "sir-2003", "ctcae-grade"})

#: The concepts of Observations that grade a complication, each with the scale; "": any scale.
GRADINGS = {
    "clavien-dindo-grading": "clavien-dindo",
    "sir-grading": "sir-2003",
    "ctcae-grading": "ctcae-grade",
    "complication-grading": "",
}

#: The concepts whose results are in units.
WITH_UNIT = frozenset({"psa"})

#: The meaning of a code of Observations that hold a questionnaire's score.
SCORE = "questionnaire-score"
