"""Technical success of the index treatment."""

from fhircryo.endpoints.catalogue import TECHNICAL_SUCCESS
from fhircryo.endpoints.result import Evidence, Result, Role
from fhircryo.endpoints.timeline import Timeline


def technical_success(timeline: Timeline) -> Result:
    """Return ``technical-success``.

    Yes if a Procedure of the index treatment is completed and none has an unsuccessful outcome.
    """
    treatment = timeline.treatment
    completed = any(procedure.completed for procedure in treatment)
    return Result(
        TECHNICAL_SUCCESS,
        timeline.d0,
        timeline.d0,
        final=True,
        value=completed and all(procedure.successful for procedure in treatment),
        evidence=tuple(
            Evidence(Role.INDEX_TREATMENT, procedure.ref, "", procedure.when.first)
            for procedure in treatment[1:]
        ),
    )
