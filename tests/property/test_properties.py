"""What holds for every patient: order, as-of, unused resources, repetition, failures at call."""

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhircryo.mapping.load import load_mappings, load_protocol
from fhircryo.mapping.protocol import Protocol, SalvageRule
from fhircryo.runs.in_memory import Outcome, compute_resources
from tests.property.strategies import (
    AS_OF,
    D0,
    THERAPY_TYPES,
    after_as_of,
    coded,
    patients,
    psa,
    unused,
)

# One of each type that may be lacking, of somebody else: "none" then means none.
OTHERS = [
    {
        "resourceType": kind,
        "id": "other",
        "subject": {"reference": "Patient/other"},
        "code": coded("http://snomed.info/sct", "38341003"),
    }
    for kind in ("Condition", "AdverseEvent")
] + [
    {
        "resourceType": "MedicationRequest",
        "id": "other",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/other"},
        "medicationCodeableConcept": coded("http://www.whocc.no/atc", "N02BE01"),
    }
]

MAPPINGS = load_mappings()
PROTOCOL = load_protocol()
PROTOCOLS = [
    load_protocol("oishi-2019"),
    *(PROTOCOL.model_copy(update={"salvage_therapy": rule}) for rule in get_args(SalvageRule)),
]
protocols = st.sampled_from(PROTOCOLS)

many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def compute(resources: list, as_of: date = AS_OF, protocol: Protocol = PROTOCOL) -> Outcome:
    return compute_resources([*resources, *OTHERS], as_of, protocol, MAPPINGS)


def published(resources: list, as_of: date = AS_OF, protocol: Protocol = PROTOCOL) -> tuple:
    outcome = compute(resources, as_of, protocol)
    assert outcome.observations, "a patient with an index procedure has endpoints"
    return outcome.observations, outcome.provenances


@many
@given(patients(), st.randoms(use_true_random=False), protocols)
def test_the_order_of_input_never_matters(
    resources: list, order: random.Random, protocol: Protocol
) -> None:
    shuffled = list(resources)
    order.shuffle(shuffled)
    one, other = (compute(given, protocol=protocol) for given in (resources, shuffled))
    assert one.observations == other.observations
    assert one.provenances == other.provenances
    assert one.issues == other.issues
    assert one.counted == other.counted


@many
@given(patients(), st.lists(after_as_of(), min_size=1, max_size=1), protocols)
def test_what_is_dated_after_as_of_never_changes_endpoints(
    resources: list, late: list, protocol: Protocol
) -> None:
    before = published(resources, protocol=protocol)
    assert before == published([*resources, *late], protocol=protocol)


@many
@given(patients(), unused(), protocols)
def test_a_resource_that_is_not_used_never_changes_endpoints(
    resources: list, extra, protocol: Protocol
) -> None:
    before = published(resources, protocol=protocol)
    assert before == published([*resources, extra], protocol=protocol)


def without_marks(observations: list) -> list:
    """The endpoints but for the component that salvage therapy leaves on them."""
    found = []
    for one in observations:
        parts = [
            part
            for part in one.get("component", [])
            if part["code"]["coding"][0]["code"] != "salvage-therapy"
        ]
        rest = {name: value for name, value in one.items() if name != "component"}
        found.append({**rest, "component": parts})
    return found


THERAPIES = tuple(f"{kind}/therapy" for kind in THERAPY_TYPES)


@many
@given(patients())
def test_reported_salvage_therapy_changes_nothing_but_its_mark(resources: list) -> None:
    def is_therapy(one: dict) -> bool:
        return f"{one['resourceType']}/{one['id']}".startswith(THERAPIES)

    rest = [one for one in resources if not is_therapy(one)]
    with_it, without = (compute(given).observations for given in (resources, rest))
    assert without_marks(with_it) == without_marks(without)


@many
@given(patients())
def test_nothing_published_rests_on_psa_after_it_where_it_censors(resources: list) -> None:
    for one in compute(resources, protocol=PROTOCOLS[-1]).observations:
        parts = [part["code"]["coding"][0]["code"] for part in one.get("component", [])]
        assert "salvage-therapy" not in parts


@many
@given(patients())
def test_as_an_event_it_makes_no_failure_less_certain(resources: list) -> None:
    """Who has failed by PSA alone has failed where salvage therapy counts, and not later."""
    event = next(one for one in PROTOCOLS if one.salvage_therapy == "event")
    by_psa, counted = (
        endpoint(compute(resources, protocol=rule).observations, "biochemical-failure")
        for rule in (PROTOCOL, event)
    )
    if by_psa.get("valueCodeableConcept", {}).get("coding", [{}])[0].get("code") == "Y":
        assert counted["valueCodeableConcept"]["coding"][0]["code"] == "Y"
        period = counted.get("effectivePeriod", {})
        assert counted.get("effectiveDateTime", period.get("end")) <= by_psa["effectiveDateTime"]


@many
@given(patients())
def test_two_runs_are_the_same(resources: list) -> None:
    assert compute(resources) == compute(resources)


def endpoint(observations: list, key: str) -> dict:
    (found,) = (one for one in observations if one["code"]["coding"][0]["code"] == key)
    return found


@many
@given(patients(), st.lists(psa(50), max_size=1), st.integers(1, 900))
def test_no_failure_is_undone_by_later_data(resources: list, more: list, later: int) -> None:
    def failure(found: list, as_of: date) -> dict:
        return endpoint(compute(found, as_of).observations, "biochemical-failure")

    before = failure(resources, AS_OF)
    if before.get("valueCodeableConcept", {}).get("coding", [{}])[0].get("code") != "Y":
        return
    for result in more:
        result["effectiveDateTime"] = str(AS_OF + timedelta(days=later))
    assert failure([*resources, *more], AS_OF + timedelta(days=later)) == before


@many
@given(patients())
def test_every_resource_is_accounted_for(resources: list) -> None:
    outcome = compute(resources)
    named = {issue.name for issue in outcome.issues if not issue.used}
    refs = {f"{one['resourceType']}/{one['id']}" for one in resources}
    assert named <= refs
    assert all(count > 0 for count in outcome.counted.values())


@many
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=8))
def test_phoenix_by_a_direct_reading(hundredths: list[int]) -> None:
    """Against the definition written out: the first value at nadir + 2.0 or above."""
    resources = [
        {
            "resourceType": "Observation",
            "id": f"r{n:02d}",
            "status": "final",
            "code": coded("http://loinc.org", "2857-1"),
            "subject": {"reference": "Patient/p1"},
            "effectiveDateTime": str(D0 + timedelta(days=30 * (n + 1))),
            "valueQuantity": {"value": Decimal(value) / 100, "unit": "ng/mL"},
        }
        for n, value in enumerate(hundredths)
    ]
    index = {
        "resourceType": "Procedure",
        "id": "x1",
        "status": "completed",
        "code": coded("http://www.ama-assn.org/go/cpt", "55873"),
        "subject": {"reference": "Patient/p1"},
        "performedDateTime": str(D0),
    }
    expected = next(
        (n for n in range(1, len(hundredths)) if hundredths[n] >= min(hundredths[:n]) + 200), None
    )
    found = endpoint(compute([index, *resources]).observations, "biochemical-failure")
    code = found["valueCodeableConcept"]["coding"][0]["code"]
    if expected is None:
        assert code == "N"
    else:
        assert (code, found["effectiveDateTime"]) == (
            "Y",
            str(D0 + timedelta(days=30 * (expected + 1))),
        )
