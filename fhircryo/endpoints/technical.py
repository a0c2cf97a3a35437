"""Technical success of the index treatment."""

from fhircryo.endpoints.catalogue import TECHNICAL_SUCCESS
from fhircryo.endpoints.patient_course import PatientCourse
from fhircryo.endpoints.result import Evidence, Result, Role


def technical_success(course: PatientCourse) -> Result:
    """Return ``technical-success``.

    Yes if on the last day of the index treatment a Procedure is completed and none is stopped, and
    none of the treatment has an unsuccessful outcome.
    """
    line = course.line
    last = max(procedure.when.first for procedure in line.treatment)
    completed = all(one.completed for one in line.treatment if one.when.first == last)
    return Result(
        TECHNICAL_SUCCESS,
        line.d0,
        line.d0,
        final=True,
        value=completed and all(procedure.successful for procedure in line.treatment),
        evidence=tuple(
            Evidence(Role.INDEX_TREATMENT, procedure.ref, "", procedure.when.first)
            for procedure in line.treatment[1:]
        ),
    )
