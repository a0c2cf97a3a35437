"""Biochemical failure if the next PSA result had to confirm it, beside the protocol's rule."""

from fhircryo.endpoints.failure import biochemical_failure
from fhircryo.endpoints.patient_course import PatientCourse, patient_course
from fhircryo.endpoints.result import Result

#: The next result is the first that is dated at least so many days later.
_NEXT_DAY = 1


def confirmed_failure(course: PatientCourse) -> Result:
    """``biochemical-failure`` of a patient where a failure counts only if it is confirmed.

    It is by the rule of the protocol's ``confirm_days``; without that field, by the next result,
    however soon it came.
    """
    line, protocol = course.line, course.line.protocol
    rules = protocol.biochemical_failure
    if rules.confirm_days is not None or course.psa.failure is None:
        return biochemical_failure(course)
    confirming = rules.model_copy(update={"confirm_days": _NEXT_DAY})
    other = protocol.model_copy(update={"biochemical_failure": confirming})
    found = patient_course(line.record, other, line.as_of, course.lacking, course.scales)
    return biochemical_failure(found or course)
