"""What holds for every record by the definitions of version 2."""

import random
from copy import deepcopy
from datetime import date, timedelta
from decimal import Decimal
from typing import get_args

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fhircryo.calendar import Span
from fhircryo.endpoints.catalogue import (
    BIOCHEMICAL_FAILURE,
    DISEASE_FREE,
    LOCAL_RECURRENCE,
    METASTASIS,
    Endpoint,
)
from fhircryo.endpoints.patient_endpoints import compute
from fhircryo.endpoints.result import ComponentKey, Result
from fhircryo.mapping.load import load_mappings, load_protocol
from fhircryo.mapping.protocol import Protocol, SalvageRule
from fhircryo.record.items import EventKind, Finding, Lacking, PatientRecord, Therapy
from tests.property.records import AS_OF, D0, days, finding, on, records, spans, vague, values

SCALES = load_mappings().scales
PROTOCOL = load_protocol()


def _protocol(rule: str, no_response: str = "absent", confirm: int | None = None) -> Protocol:
    failure = PROTOCOL.biochemical_failure.model_copy(update={"confirm_days": confirm})
    landmark = PROTOCOL.disease_free.model_copy(update={"no_response": no_response})
    changes = {"salvage_therapy": rule, "disease_free": landmark, "biochemical_failure": failure}
    return PROTOCOL.model_copy(update=changes)


PROTOCOLS = [
    *(_protocol(rule) for rule in get_args(SalvageRule)),
    _protocol("event", "ignore"),
    _protocol("event", confirm=28),
]
WITHOUT_CONFIRMATION = [one for one in PROTOCOLS if one.biochemical_failure.confirm_days is None]
protocols = st.sampled_from(PROTOCOLS)

many = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def results(
    record: PatientRecord, protocol: Protocol = PROTOCOL, as_of: date = AS_OF
) -> dict[str, Result]:
    """The endpoints of a record by their code; the record stays as it is."""
    computed = compute(deepcopy(record), protocol, as_of, Lacking(), SCALES)
    assert computed is not None
    return {result.code: result for result in computed.results}


def value(
    record: PatientRecord, endpoint: Endpoint, protocol: Protocol, as_of: date = AS_OF
) -> object:
    return results(record, protocol, as_of)[endpoint.key].value


def is_event(result: Result) -> bool:
    return any(one.part == ComponentKey.EVENT and one.value for one in result.components)


@many
@given(records(), protocols, st.randoms(use_true_random=False))
def test_the_order_of_equal_events_does_not_matter(
    record: PatientRecord, protocol: Protocol, order: random.Random
) -> None:
    shuffled = deepcopy(record)
    for name in ("psa", "findings", "therapies", "diagnoses", "causes", "treatments"):
        order.shuffle(getattr(shuffled, name))
    assert results(record, protocol) == results(shuffled, protocol)


@st.composite
def with_a_date(draw: st.DrawFn) -> tuple[PatientRecord, Finding | Therapy]:
    """A record, and one of its clinical events or therapies that has a precise date."""
    record = draw(records())
    dated = [one for one in (*record.findings, *record.therapies) if one.when and one.when.precise]
    assume(dated)
    return record, draw(st.sampled_from(dated))


@many
@given(with_a_date(), protocols, st.integers(0, 2))
def test_a_vaguer_date_never_makes_a_patient_disease_free(
    given_: tuple[PatientRecord, Finding | Therapy], protocol: Protocol, how: int
) -> None:
    record, item = given_
    before = value(record, DISEASE_FREE, protocol)
    assert item.when is not None
    item.when = [*vague(item.when.first), None][how]
    if value(record, DISEASE_FREE, protocol) is True:
        assert before is True


@many
@given(records(), st.sampled_from(WITHOUT_CONFIRMATION), st.data())
def test_removing_a_psa_never_makes_an_unknown_patient_a_failure(
    record: PatientRecord, protocol: Protocol, data: st.DataObject
) -> None:
    assume(record.psa)
    before = value(record, DISEASE_FREE, protocol)
    assume(before is None)
    # All of a time: of two that contradict each other, one less can make the other certain.
    when = data.draw(st.sampled_from(record.psa)).when
    record.psa[:] = [one for one in record.psa if one.when != when]
    assert value(record, DISEASE_FREE, protocol) is not False


@many
@given(records(), protocols, st.one_of(spans, st.none()), st.booleans())
def test_adding_a_metastasis_never_improves_an_outcome(
    record: PatientRecord, protocol: Protocol, when: Span | None, named: bool
) -> None:
    before = results(record, protocol)
    of_prostate = True if named else None
    record.findings.append(finding("added", EventKind.METASTASIS, when, of_prostate))
    after = results(record, protocol)
    if after[DISEASE_FREE.key].value is True:
        assert before[DISEASE_FREE.key].value is True
    if before[METASTASIS.key].value is True:
        assert after[METASTASIS.key].value is not False
    for key in ("metastasis-free-survival", "failure-free-survival"):
        one, other = before[key], after[key]
        if one.value is not None and other.value is not None and is_event(one):
            assert is_event(other)
            upper = one.high if one.high is not None else one.value
            assert other.value <= upper


# Most records have no such result, or no failure: an example costs several of another test.
@settings(many, max_examples=100)
@given(records(), st.sampled_from(WITHOUT_CONFIRMATION), st.data())
def test_a_lower_detection_limit_never_loses_a_failure(
    record: PatientRecord, protocol: Protocol, data: st.DataObject
) -> None:
    limits = [one for one in record.psa if one.comparator == "<"]
    assume(limits)
    before = results(record, protocol)[BIOCHEMICAL_FAILURE.key]
    assume(before.value is True)
    result = data.draw(st.sampled_from(limits))
    assert result.value is not None
    result.value = min(result.value, data.draw(values)) * Decimal("0.9")
    after = results(record, protocol)[BIOCHEMICAL_FAILURE.key]
    assert after.value is True
    assert after.start <= before.start


def _later(when: Span | None) -> bool:
    return when is not None and when.last > AS_OF


@many
@given(records(), protocols, st.integers(1, 400))
def test_what_is_final_stays(record: PatientRecord, protocol: Protocol, later: int) -> None:
    """With the same record, a final endpoint is the same at a later as-of date.

    What is dated between the two dates is removed: it is later data. An adverse event without a day
    begins to exist on the day on which it was recorded.
    """
    for name in ("psa", "findings", "therapies", "treatments", "adverse_events", "diagnoses"):
        items = getattr(record, name)
        items[:] = [one for one in items if not _later(one.when)]
    events = record.adverse_events
    events[:] = [one for one in events if one.when is not None or not _later(one.recorded)]
    assume(record.facts is None or record.facts.died is None or record.facts.died.last <= AS_OF)
    before = results(record, protocol)
    after = results(record, protocol, AS_OF + timedelta(days=later))
    for key, result in before.items():
        if result.final and result.value is not None:
            assert after[key].value == result.value


@many
@given(records(), protocols)
def test_times_lie_between_the_index_procedure_and_as_of(
    record: PatientRecord, protocol: Protocol
) -> None:
    for result in results(record, protocol).values():
        if result.endpoint.value_type.is_time_to_event and result.value is not None:
            assert result.value >= 0
            assert result.high is None or (result.value < result.high and is_event(result))
            if not is_event(result):
                assert result.start <= AS_OF


@many
@given(records(), protocols, days.filter(lambda day: day <= AS_OF))
def test_a_local_recurrence_never_changes_metastasis(
    record: PatientRecord, protocol: Protocol, day: date
) -> None:
    before = results(record, protocol)[METASTASIS.key]
    record.findings.append(finding("added", EventKind.LOCAL_RECURRENCE, on(day)))
    after = results(record, protocol)
    assert after[METASTASIS.key] == before
    if day > D0 and record.facts is not None and record.facts.died is None:
        assert after[LOCAL_RECURRENCE.key].value is True


@many
@given(records(), protocols)
def test_a_result_without_a_value_has_its_reason(record: PatientRecord, protocol: Protocol) -> None:
    for result in results(record, protocol).values():
        assert (result.value is None) == (result.reason is not None)
        assert (result.reason is None) == (result.absent is None)
        assert msgspec.to_builtins(result.start) is not None
