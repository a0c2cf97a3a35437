"""Freedom from disease at the landmark under each rule for salvage therapy, side by side."""

from msgspec.structs import replace

from fhircryo.endpoints.disease_free import disease_free
from fhircryo.endpoints.patient_course import PatientCourse, patient_course
from fhircryo.endpoints.result import Result
from fhircryo.mapping.protocol import SalvageRule

#: The rules for salvage therapy, as the protocol's field ``salvage_therapy`` names them.
SALVAGE_RULES: tuple[SalvageRule, ...] = ("event", "censor", "report")


def disease_free_by_rule(course: PatientCourse) -> dict[SalvageRule, Result]:
    """``disease-free-12-months`` of a patient under each rule, all else as in the protocol."""
    return {rule: disease_free(_under(course, rule)) for rule in SALVAGE_RULES}


def _under(course: PatientCourse, rule: SalvageRule) -> PatientCourse:
    """The course under a rule."""
    line, therapies = course.line, course.therapies
    if rule == line.protocol.salvage_therapy:
        return course
    protocol = line.protocol.model_copy(update={"salvage_therapy": rule})
    if not therapies.known and not therapies.possible:
        # Without therapies the rule changes no part of the course.
        return replace(course, line=replace(line, protocol=protocol))
    other = patient_course(line.record, protocol, line.as_of, course.lacking, course.scales)
    return other or course
