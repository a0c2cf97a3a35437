"""What holds for every patient: order, as-of, unused resources, repetition, failures at call."""

import random
from datetime import date, timedelta
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhircryo.mapping.load import load_mappings, load_protocol
from fhircryo.memory import Outcome, compute_resources
from tests.property.strategies import AS_OF, D0, after_as_of, coded, patients, psa, unused

# One of each type that may be lacking, of somebody else: "none" then means none.
OTHERS = [
    {
        "resourceType": kind,
        "id": "other",
        "subject": {"reference": "Patient/other"},
        "code": coded("http://snomed.info/sct", "38341003"),
    }
    for kind in ("Condition", "AdverseEvent")
]

MAPPINGS = load_mappings()
PROTOCOL = load_protocol()

many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def compute(resources: list, as_of: date = AS_OF) -> Outcome:
    return compute_resources([*resources, *OTHERS], as_of, PROTOCOL, MAPPINGS)


def published(resources: list, as_of: date = AS_OF) -> tuple:
    outcome = compute(resources, as_of)
    assert outcome.observations, "a patient with an index procedure has endpoints"
    return outcome.observations, outcome.provenances


@many
@given(patients(), st.randoms(use_true_random=False))
def test_the_order_of_input_never_matters(resources: list, order: random.Random) -> None:
    shuffled = list(resources)
    order.shuffle(shuffled)
    one, other = compute(resources), compute(shuffled)
    assert one.observations == other.observations
    assert one.provenances == other.provenances
    assert one.issues == other.issues
    assert one.counted == other.counted


@many
@given(patients(), st.lists(after_as_of(), min_size=1, max_size=1))
def test_what_is_dated_after_as_of_never_changes_endpoints(resources: list, late: list) -> None:
    assert published(resources) == published([*resources, *late])


@many
@given(patients(), unused())
def test_a_resource_that_is_not_used_never_changes_endpoints(resources: list, extra) -> None:
    assert published(resources) == published([*resources, extra])


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
