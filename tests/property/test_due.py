"""Until the day that is said to be due, time alone changes nothing."""

from datetime import date, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhircryo.endpoints.due import next_due
from fhircryo.endpoints.patient_endpoints import compute
from fhircryo.endpoints.result import Result
from fhircryo.mapping.protocol import Protocol
from fhircryo.record.items import Lacking, PatientRecord
from fhircryo.runs.in_memory import read_resources
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from tests.property.records import records
from tests.property.strategies import AS_OF, D0, patients
from tests.property.test_properties import MAPPINGS, protocols
from tests.unit.inputs import procedure, response

JOB = RunConfig.of(Settings.model_construct(), AS_OF)


def record_of(resources: list) -> PatientRecord:
    (record,) = read_resources(resources, JOB).records.records.values()
    return record


def results(
    record: PatientRecord, protocol: Protocol, as_of: date, lacking: Lacking
) -> list[Result]:
    computed = compute(record, protocol, as_of, lacking, MAPPINGS.scales)
    return [] if computed is None else computed.results


many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
starts = st.integers(-60, 1400)
confirmations = st.sampled_from([None, 28, 90])
lacks = st.builds(Lacking, st.booleans(), st.booleans(), st.booleans(), deaths=st.booleans())


def check(
    record: PatientRecord, protocol: Protocol, as_of: date, later: int, lacking: Lacking
) -> None:
    """Up to the day before the next due day, the endpoints are those of the as-of date.

    ``later``: chooses a day between the two.
    """
    due = next_due(record, protocol, as_of, lacking)
    last = D0 + timedelta(days=3000) if due is None else due - timedelta(days=1)
    assert last >= as_of
    between = as_of + timedelta(days=later % ((last - as_of).days + 1))
    now = results(record, protocol, as_of, lacking)
    assert results(record, protocol, last, lacking) == now
    assert results(record, protocol, between, lacking) == now


def with_confirmation(protocol: Protocol, days: int | None) -> Protocol:
    rules = protocol.biochemical_failure.model_copy(update={"confirm_days": days})
    return protocol.model_copy(update={"biochemical_failure": rules})


@many
@given(patients(), starts, st.integers(0, 1 << 16), protocols, confirmations, lacks)
def test_nothing_changes_before_it_is_due(resources, start, later, protocol, confirm, lacking):
    protocol = with_confirmation(protocol, confirm)
    check(record_of(resources), protocol, D0 + timedelta(days=start), later, lacking)


@settings(many, max_examples=1500)
@given(records(), starts, st.integers(0, 1 << 16), protocols, confirmations, lacks)
def test_nothing_changes_before_it_is_due_in_any_record(
    record, start, later, protocol, confirm, lacking
):
    protocol = with_confirmation(protocol, confirm)
    check(record, protocol, D0 + timedelta(days=start), later, lacking)


def test_the_baseline_is_final_on_the_day_after_the_index_procedure():
    record = record_of([procedure(on="2015-03-31"), response("q1", "2015-03-31", [1, 1, 1, 1, 1])])
    assert next_due(record, JOB.protocol, date(2015, 3, 31)) == date(2015, 4, 1)


def test_a_due_day_can_change_something():
    """The property would hold as well if every day were due; the days are few."""
    record = record_of(
        [
            {
                "resourceType": "Procedure",
                "id": "x1",
                "status": "completed",
                "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "55873"}]},
                "subject": {"reference": "Patient/p1"},
                "performedDateTime": "2015-03-31",
            }
        ]
    )
    days = []
    day: date | None = date(2015, 1, 1)
    while (day := next_due(record, JOB.protocol, day)) is not None:
        days.append(day)
    assert days[0] == date(2015, 3, 31)
    assert date(2016, 3, 31) in days
    assert len(days) < 30
