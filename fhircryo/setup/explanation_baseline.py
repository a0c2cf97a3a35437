"""The baseline characteristics of a patient in words; they are not published."""

from dataclasses import dataclass

from fhircryo.calendar import Span
from fhircryo.endpoints.baseline import BaselineValue, baseline_characteristics
from fhircryo.endpoints.patient_course import PatientCourse

#: The names of the characteristics for people, and the units of the numbers.
_NAMES = {
    "age": ("age", "years"),
    "psa": ("baseline PSA", "ng/mL"),
    "psa_doubling_time": ("PSA doubling time", "months"),
    "prior_radiotherapy": ("prior radiotherapy", ""),
    "radiotherapy_interval": ("interval from radiotherapy", "years"),
    "isup_grade_group": ("ISUP grade group", ""),
    "gleason_score": ("Gleason score", ""),
    "clinical_t_category": ("clinical T category", ""),
    "prostate_volume": ("prostate volume", "mL"),
    "hormone_therapy_at_index": ("hormone therapy at index", ""),
}


@dataclass(frozen=True)
class BaselineExplanation:
    """A baseline characteristic; ``date``: as far as it is known, empty where there is none."""

    name: str
    value: str
    date: str
    resources: list[str]


def baseline_explanations(course: PatientCourse) -> list[BaselineExplanation]:
    """The baseline characteristics of a patient, each with its date and evidence."""
    found = baseline_characteristics(course)
    return [_explained(name, unit, getattr(found, field)) for field, (name, unit) in _NAMES.items()]


def _explained(name: str, unit: str, found: BaselineValue) -> BaselineExplanation:
    value = found.words if found.value is None else f"{found.words} {unit}".rstrip()
    if found.approximate:
        value += " (approximately)"
    return BaselineExplanation(name, value, _date(found.when), list(found.evidence))


def _date(when: Span | None) -> str:
    if when is None:
        return ""
    return str(when.first) if when.precise else f"{when.first}..{when.last}"
