"""All endpoints of one patient."""

from collections.abc import Callable, Iterable
from datetime import date

import msgspec

from fhircryo.endpoints.complications import complication_endpoints
from fhircryo.endpoints.disease_free import disease_free
from fhircryo.endpoints.failure import biochemical_failure, psa_nadir
from fhircryo.endpoints.patient_course import PatientCourse, patient_course
from fhircryo.endpoints.prom import prom_endpoints
from fhircryo.endpoints.recurrence import local_recurrence, metastasis
from fhircryo.endpoints.result import Result
from fhircryo.endpoints.salvage import mark
from fhircryo.endpoints.technical import technical_success
from fhircryo.endpoints.time_to_event import (
    cancer_specific_survival,
    disease_free_survival,
    failure_free_survival,
    metastasis_free_survival,
    overall_survival,
    time_to_failure,
    time_to_salvage_therapy,
)
from fhircryo.endpoints.timeline import Timeline
from fhircryo.mapping.grade_schema import (
    Scale,
)
from fhircryo.mapping.protocol import Protocol
from fhircryo.record.items import Lacking, PatientRecord

#: The computation of each endpoint, or of several, from the patient's course.
COMPUTATIONS: tuple[Callable[[PatientCourse], Result | Iterable[Result]], ...] = (
    technical_success,
    psa_nadir,
    biochemical_failure,
    time_to_failure,
    lambda of: local_recurrence(of.line, of.events, of.lacking),
    lambda of: metastasis(of.line, of.events, of.lacking),
    disease_free,
    disease_free_survival,
    metastasis_free_survival,
    failure_free_survival,
    time_to_salvage_therapy,
    overall_survival,
    cancer_specific_survival,
    lambda of: complication_endpoints(of.line, of.complications, of.lacking, of.scales),
    lambda of: prom_endpoints(of.line),
)


class PatientEndpoints(msgspec.Struct):
    """A patient's endpoints in catalogue order, and the course that they were computed from."""

    course: PatientCourse
    results: list[Result]

    @property
    def line(self) -> Timeline:
        """The patient's time line."""
        return self.course.line


def compute(
    record: PatientRecord,
    protocol: Protocol,
    as_of: date,
    lacking: Lacking,
    scales: dict[str, Scale],
) -> PatientEndpoints | None:
    """The endpoints of a patient; None if he has no index procedure by the as-of date."""
    course = patient_course(record, protocol, as_of, lacking, scales)
    if course is None:
        return None
    results: list[Result] = []
    for computation in COMPUTATIONS:
        computed = computation(course)
        results += [computed] if isinstance(computed, Result) else computed
    results.sort(key=lambda result: result.endpoint.order)
    mark(results, course.therapies, course.hormone, protocol.salvage_therapy)
    return PatientEndpoints(course, results)
