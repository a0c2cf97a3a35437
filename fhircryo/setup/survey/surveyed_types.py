"""The resource types that a survey looks at, and the elements that it reads of each."""

from typing import NamedTuple


class SurveyedType(NamedTuple):
    """The elements that say what a resource is, and those that date it; the first filled counts."""

    code: tuple[str, ...]
    dates: tuple[str, ...]


#: By resource type. A QuestionnaireResponse has no code: it is described by its linkIds.
SURVEYED_TYPES = {
    "Procedure": SurveyedType(
        ("code",),
        (
            "performed_date_time",
            "performed_period",
            "occurrence_date_time",
            "occurrence_period",
        ),
    ),
    "Observation": SurveyedType(
        ("code",), ("effective_date_time", "effective_instant", "effective_period")
    ),
    "Condition": SurveyedType(("code",), ("onset_date_time", "onset_period", "recorded_date")),
    "AdverseEvent": SurveyedType(
        ("event", "code"),
        ("date", "occurrence_date_time", "occurrence_period", "detected"),
    ),
    "QuestionnaireResponse": SurveyedType((), ("authored",)),
    "MedicationRequest": SurveyedType(("medication_codeable_concept",), ("authored_on",)),
    "MedicationStatement": SurveyedType(
        ("medication_codeable_concept",), ("effective_date_time", "effective_period")
    ),
    "MedicationAdministration": SurveyedType(
        ("medication_codeable_concept",), ("effective_date_time", "effective_period")
    ),
}
