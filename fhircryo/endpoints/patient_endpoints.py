"""All endpoints of one patient."""

from datetime import date

import msgspec

from fhircryo.endpoints.complications import (
    Complications,
    complication_endpoints,
    complications,
)
from fhircryo.endpoints.disease_free import disease_free
from fhircryo.endpoints.failure import biochemical_failure, psa_nadir, time_to_failure
from fhircryo.endpoints.prom import prom_endpoints
from fhircryo.endpoints.psa import PsaCourse, psa_course
from fhircryo.endpoints.recurrence import (
    ClinicalEvents,
    clinical_events,
    local_recurrence,
    metastasis,
)
from fhircryo.endpoints.result import Result
from fhircryo.endpoints.salvage import as_failures, first_therapy, mark, salvage_therapy
from fhircryo.endpoints.technical import technical_success
from fhircryo.endpoints.time_to_event import disease_free_survival, metastasis_free_survival
from fhircryo.endpoints.timeline import Timeline, build_timeline
from fhircryo.mapping.protocol import Protocol
from fhircryo.mapping.schema import Scale
from fhircryo.record.items import Lacking, PatientRecord


class PatientEndpoints(msgspec.Struct):
    """A patient's endpoints in catalogue order, and what they were computed from."""

    line: Timeline
    course: PsaCourse
    therapies: ClinicalEvents
    events: ClinicalEvents
    complications: Complications
    results: list[Result]


def compute(
    record: PatientRecord,
    protocol: Protocol,
    as_of: date,
    lacking: Lacking,
    scales: dict[str, Scale],
) -> PatientEndpoints | None:
    """The endpoints of a patient as of a date; None where he has no index procedure by then."""
    line = build_timeline(record, protocol, as_of)
    if line is None:
        return None
    therapies = salvage_therapy(line)
    failing = as_failures(line, therapies)
    course = psa_course(line, therapies)
    events = clinical_events(line)
    disease = events.and_also(failing)
    attributed = complications(line)
    results = [
        technical_success(line),
        psa_nadir(line, course),
        biochemical_failure(line, course, failing, lacking),
        time_to_failure(line, course, failing, lacking),
        local_recurrence(line, events, lacking),
        metastasis(line, events, lacking),
        disease_free(line, course, disease, lacking),
        disease_free_survival(line, course, disease, lacking),
        metastasis_free_survival(line, course, events, lacking),
        *complication_endpoints(line, attributed, lacking, scales),
        *prom_endpoints(line),
    ]
    mark(results, first_therapy(therapies))
    return PatientEndpoints(line, course, therapies, events, attributed, results)
