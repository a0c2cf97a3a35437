"""The resource types that are read: how each is searched, and what it means if it is missing.

Reading, bulk export, doctor, settings and survey read this table; there is no second list of types.
What an element of a type looks like is said by its struct in ``fhir/wire.py``, what becomes of it
by its extractor in ``extract/``.
"""

from dataclasses import dataclass
from enum import StrEnum

from fhircryo.mapping.concepts import GRADINGS, SCORE
from fhircryo.record.items import CharacteristicKind


class LackedEvidence(StrEnum):
    """What cannot be concluded where the whole source has no resource of a type."""

    NOTHING = ""
    CONDITIONS = "conditions"
    ADVERSE_EVENTS = "adverse_events"
    MEDICATIONS = "medications"


@dataclass(frozen=True)
class ResourceType:
    """One resource type.

    ``patient_parameters``: the search parameters that find it by patient, the preferred one first;
    empty for types that are searched otherwise. ``concepts``: the concepts whose codes it is
    searched by besides; empty: whatever its codes. ``optional``: a source may not have the type, or
    may not let us read it. ``lacked``: what cannot be concluded where there is no such resource.
    ``without``: what happens where the type cannot be searched by patient, in words.
    ``code_elements`` and ``date_elements``: the elements that a survey counts, as named in
    ``fhir/wire.py``; ``surveyed``: whether a survey counts the type.
    """

    name: str
    patient_parameters: tuple[str, ...] = ()
    concepts: tuple[str, ...] = ()
    optional: bool = False
    lacked: LackedEvidence = LackedEvidence.NOTHING
    without: str = ""
    surveyed: bool = True
    code_elements: tuple[str, ...] = ()
    date_elements: tuple[str, ...] = ()

    @property
    def by_patient(self) -> bool:
        """Whether the type is searched by patient."""
        return bool(self.patient_parameters)


_BY_PATIENT = ("patient", "subject")
MEDICATION = "Medication"
_LACKING = "endpoints that need this type are absent (source-lacks-type)"
_MEDICATION_DATES = {
    "MedicationRequest": ("authored_on",),
    "MedicationStatement": ("effective_date_time", "effective_period"),
    "MedicationAdministration": (
        "effective_date_time",
        "effective_period",
        "occurence_date_time",
        "occurence_period",
    ),
}

#: The types in the order in which a server is searched for them by patient.
RESOURCE_TYPES = (
    ResourceType("Patient", surveyed=False),
    ResourceType(
        "Procedure",
        _BY_PATIENT,
        without="a run with a list of patients finds nothing",
        code_elements=("code",),
        date_elements=(
            "performed_date_time",
            "performed_period",
            "occurrence_date_time",
            "occurrence_period",
        ),
    ),
    ResourceType(
        "Observation",
        _BY_PATIENT,
        concepts=(
            "psa",
            "psa-not-convertible",
            "metastasis-finding",
            "nodal-recurrence-finding",
            "local-recurrence-finding",
            "progression-finding",
            "cause-of-death",
            *CharacteristicKind,
            *GRADINGS,
            SCORE,
        ),
        without="PSA results cannot be read",
        code_elements=("code",),
        date_elements=("effective_date_time", "effective_instant", "effective_period"),
    ),
    ResourceType(
        "Condition",
        _BY_PATIENT,
        optional=True,
        lacked=LackedEvidence.CONDITIONS,
        without=_LACKING,
        code_elements=("code",),
        date_elements=("onset_date_time", "onset_period", "recorded_date"),
    ),
    ResourceType(
        "AdverseEvent",
        ("subject", "patient"),
        optional=True,
        lacked=LackedEvidence.ADVERSE_EVENTS,
        without=_LACKING,
        code_elements=("event", "code"),
        date_elements=("date", "occurrence_date_time", "occurrence_period", "detected"),
    ),
    ResourceType(
        "QuestionnaireResponse",
        _BY_PATIENT,
        optional=True,
        without="there are no questionnaire scores",
        date_elements=("authored",),
    ),
    *(
        ResourceType(
            name,
            _BY_PATIENT,
            optional=True,
            lacked=LackedEvidence.MEDICATIONS,
            without="salvage therapy by medication is not read, and " + _LACKING,
            code_elements=("medication_codeable_concept", "medication"),
            date_elements=_MEDICATION_DATES[name],
        )
        for name in _MEDICATION_DATES
    ),
    ResourceType(MEDICATION, surveyed=False),
)

_BY_NAME = {one.name: one for one in RESOURCE_TYPES}

#: The types that a survey counts, by name.
SURVEYED_TYPES = {one.name: one for one in RESOURCE_TYPES if one.surveyed}

#: What Procedures are searched by where no list of patients leads.
INDEX_CONCEPTS = ("cryoablation",)


def resource_type(name: str) -> ResourceType:
    """The entry of a type that is read."""
    return _BY_NAME[name]


def optional_types() -> frozenset[str]:
    """The types that a source may not have; without the others nothing can be computed."""
    return frozenset(one.name for one in RESOURCE_TYPES if one.optional)


def lacked_types() -> dict[LackedEvidence, list[str]]:
    """The types whose absence from the whole source matters, by what cannot be concluded then."""
    found: dict[LackedEvidence, list[str]] = {}
    for one in RESOURCE_TYPES:
        if one.lacked:
            found.setdefault(one.lacked, []).append(one.name)
    return found


def needed_types(evidence: LackedEvidence) -> list[str]:
    """The types that must not be withheld, or nothing can be concluded from there being none.

    Medications are told by what their Medication says.
    """
    kinds = lacked_types()[evidence]
    return [*kinds, MEDICATION] if evidence is LackedEvidence.MEDICATIONS else kinds


def complete_types_allowed() -> frozenset[str]:
    """The types that a site may declare complete: those that are read, Medication aside."""
    return frozenset(_BY_NAME) - {MEDICATION}
