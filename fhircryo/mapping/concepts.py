"""The concepts and grading scales that this version computes with."""

from typing import NamedTuple, get_args

from fhircryo.mapping.status_schema import (
    ClinicalStatus,
    ObservationStatus,
    ProcedureStatus,
)

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
    ``further``: further pairs of resource type and element from which the concept is read.
    """

    resource: str
    element: str = "code"
    also: frozenset[str] = frozenset()
    further: frozenset[tuple[str, str]] = frozenset()

    @property
    def places(self) -> frozenset[tuple[str, str]]:
        """The pairs of resource type and element from which the concept is read."""
        types = {self.resource, *self.also}
        return frozenset((resource, self.element) for resource in types) | self.further

    @property
    def elements(self) -> frozenset[str]:
        """The elements from which the concept is read, of whatever resource type.

        A code has one meaning per element: a code of a diagnosis may have another one as a cause of
        death.
        """
        return frozenset(element for _, element in self.places)

    def is_read_from(self, resource: str, element: str) -> bool:
        """Return whether the concept is read from this element of this resource type."""
        return (resource, element) in self.places

    @property
    def conditions(self) -> frozenset[str]:
        """The conditions that a code of the concept may have."""
        if self.element != "code":
            return frozenset()
        return CONDITION_FIELDS_OF.get(self.resource, frozenset())


#: An Observation's code, or that of one of its components.
_FINDING = ConceptElement("Observation", further=frozenset({("Observation", "component.code")}))

CONCEPTS = {
    "cryoablation": ConceptElement("Procedure"),
    "procedure-unsuccessful": ConceptElement("Procedure", "outcome"),
    "prostate-radiotherapy": ConceptElement("Procedure"),
    "salvage-therapy": ConceptElement("Procedure", also=MEDICATED_TYPES),
    "psa": _FINDING,
    "psa-not-convertible": _FINDING,
    "psa-excluded": _FINDING,
    "prostate-cancer": ConceptElement("Condition", further=frozenset({("Observation", "value")})),
    "other-malignancy": ConceptElement("Condition"),
    "metastasis": ConceptElement("Condition"),
    "metastasis-unclear-site": ConceptElement("Condition"),
    "nodal-recurrence": ConceptElement("Condition"),
    "local-recurrence": ConceptElement("Condition"),
    "metastasis-finding": _FINDING,
    "nodal-recurrence-finding": _FINDING,
    "local-recurrence-finding": _FINDING,
    "progression-finding": _FINDING,
    "cause-of-death": ConceptElement("Observation"),
    "cause-of-death-unspecified": ConceptElement("Observation", "value"),
    "causality-unrelated": ConceptElement("AdverseEvent", "suspectEntity.causality"),
    "outcome-fatal": ConceptElement("AdverseEvent", "outcome"),
    "clavien-dindo-grading": ConceptElement("Observation"),
    "sir-grading": ConceptElement("Observation"),
    "ctcae-grading": ConceptElement("Observation"),
    "complication-grading": ConceptElement("Observation"),
    "isup-grade-group": ConceptElement("Observation"),
    "isup-grade-group-value": ConceptElement("Observation", "value"),
    "gleason-score": ConceptElement("Observation"),
    "clinical-t-category": ConceptElement("Observation"),
    "prostate-volume": ConceptElement("Observation"),
}

#: The concepts of events that Conditions state. A code of ``prostate-cancer`` may state one of them
#: as well, under conditions: C61 with the clinical status ``recurrence``.
CONDITION_EVENTS = frozenset(
    {"metastasis", "metastasis-unclear-site", "nodal-recurrence", "local-recurrence"}
)

#: The kinds that each code of a concept states one of; an overlay may leave them out.
KINDS_OF = {
    "salvage-therapy": ("hormone", "local", "systemic"),
    "prostate-radiotherapy": ("external-beam", "brachytherapy", "unspecified"),
    "isup-grade-group-value": ("1", "2", "3", "4", "5"),
}

#: The kind of codes for which an overlay states none. That of a salvage therapy then follows the
#: type of the resource, see :mod:`fhircryo.extract.therapy`.
DEFAULT_KIND = {"prostate-radiotherapy": "unspecified"}

#: A concept of version 0.1 that held codes which now belong to another one: radiotherapy counted as
#: salvage therapy only, and still does where it follows the index procedure.
SPLIT_FROM = {"salvage-therapy": "prostate-radiotherapy"}

#: The concepts whose codes state an event only together with a value, or with any value.
FINDINGS = frozenset(
    {
        "metastasis-finding",
        "nodal-recurrence-finding",
        "local-recurrence-finding",
        "progression-finding",
    }
)

#: The concepts whose codes may be limited to some values.
WITH_VALUE = FINDINGS | {
    "isup-grade-group",
    "gleason-score",
    "clinical-t-category",
    "prostate-volume",
}

#: The concepts of which a code may name the prostate as the primary.
WITH_PRIMARY = frozenset({"metastasis", "metastasis-unclear-site", "nodal-recurrence"})

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
