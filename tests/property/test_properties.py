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
#: The default protocol under each rule for salvage therapy.
BY_RULE: dict[str, Protocol] = {
    rule: PROTOCOL.model_copy(update={"salvage_therapy": rule}) for rule in get_args(SalvageRule)
}
PROTOCOLS = [load_protocol("oishi-2019"), *BY_RULE.values()]
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


def by_code(observations: list) -> dict[str, dict]:
    """The endpoints by code and time point."""
    found = {}
    for one in observations:
        parts = [coded_value(part) for part in one.get("component", ()) if is_time_point(part)]
        found["/".join([one["code"]["coding"][0]["code"], *parts])] = one
    assert len(found) == len(observations)
    return found


def is_time_point(part: dict) -> bool:
    return part["code"]["coding"][0]["code"] == "time-point"


def coded_value(one: dict) -> str | None:
    """The code of a value; None where there is none."""
    if "valueCodeableConcept" not in one:
        return None
    return one["valueCodeableConcept"]["coding"][0]["code"]


MARKS = {"salvage-therapy", "hormone-therapy-at-index"}


def without_marks(one: dict) -> dict:
    """An endpoint but for the components that therapies leave on it."""
    parts = [
        part for part in one.get("component", []) if part["code"]["coding"][0]["code"] not in MARKS
    ]
    return {**one, "component": parts}


THERAPIES = tuple(f"{kind}/therapy" for kind in THERAPY_TYPES)
#: The endpoints that look at therapies under every rule, as events or as contacts.
ON_THERAPY = {
    "metastasis-free-survival",
    "failure-free-survival",
    "time-to-salvage-therapy",
    "overall-survival",
    "cancer-specific-survival",
}
#: Those on which a death of an imprecise date has an effect. A contact narrows its interval.
ON_DEATH = {"disease-free-12-months", "disease-free-survival"}


def dies_on_a_day(resources: list) -> bool:
    """Whether the patient is alive, or died on a known day."""
    (patient,) = (one for one in resources if one["resourceType"] == "Patient")
    return not patient.get("deceasedBoolean") and len(patient.get("deceasedDateTime", "-" * 10)) > 7


@many
@given(patients())
def test_reported_salvage_therapy_changes_nothing_but_its_mark(resources: list) -> None:
    def is_therapy(one: dict) -> bool:
        return f"{one['resourceType']}/{one['id']}".startswith(THERAPIES)

    rest = [one for one in resources if not is_therapy(one)]
    with_it, without = (
        by_code(compute(given, protocol=BY_RULE["report"]).observations)
        for given in (resources, rest)
    )
    assert with_it.keys() == without.keys()
    left_out = ON_THERAPY | (set() if dies_on_a_day(resources) else ON_DEATH)
    for key in with_it.keys() - left_out:
        assert without_marks(with_it[key]) == without_marks(without[key])


@many
@given(patients())
def test_the_rule_for_salvage_therapy_never_changes_what_does_not_rest_on_psa(
    resources: list,
) -> None:
    event, *others = (
        by_code(compute(resources, protocol=protocol).observations) for protocol in BY_RULE.values()
    )
    on_psa = {
        "psa-nadir",
        "biochemical-failure",
        "time-to-biochemical-failure",
        "disease-free-12-months",
        "disease-free-survival",
    }
    for other in others:
        assert other.keys() == event.keys()
        for key in event.keys() - on_psa:
            assert other[key] == event[key], key


@many
@given(patients())
def test_the_series_ends_alike_where_salvage_therapy_is_an_event_and_where_it_censors(
    resources: list,
) -> None:
    event, censor = (
        by_code(compute(resources, protocol=BY_RULE[rule]).observations)
        for rule in ("event", "censor")
    )
    for key in ("psa-nadir", "biochemical-failure", "time-to-biochemical-failure"):
        assert event[key] == censor[key]
    for one in (*event.values(), *censor.values()):
        parts = [part["code"]["coding"][0]["code"] for part in one.get("component", [])]
        assert "salvage-therapy" not in parts
    one, other = (coded_value(found["disease-free-12-months"]) for found in (event, censor))
    if one == "Y" or other == "N":
        assert one == other


@many
@given(patients())
def test_as_an_event_it_leaves_biochemical_failure_a_statement_about_psa(resources: list) -> None:
    """A failure is the same as where therapy is only reported, unless it came after the therapy."""
    event, report = (
        by_code(compute(resources, protocol=BY_RULE[rule]).observations)
        for rule in ("event", "report")
    )
    counted, by_psa = (without_marks(found["biochemical-failure"]) for found in (event, report))
    therapy = event["time-to-salvage-therapy"]
    if coded_value(counted) == "Y":
        assert counted == by_psa
    elif coded_value(by_psa) == "Y":
        begun = therapy.get("effectiveDateTime") or therapy["effectivePeriod"]["start"]
        assert by_psa["effectiveDateTime"] > begun


@many
@given(patients(), psa(51), st.integers(1, 27), protocols)
def test_psa_of_the_first_weeks_decides_nothing_that_rests_on_psa(
    resources: list, early: dict, day: int, protocol: Protocol
) -> None:
    early["effectiveDateTime"] = str(D0 + timedelta(days=day))
    before, after = (
        by_code(compute(given, protocol=protocol).observations)
        for given in (resources, [*resources, early])
    )
    # As a contact it may narrow the interval of a death.
    keys = {"psa-nadir", "biochemical-failure", "time-to-biochemical-failure"}
    for key in keys | (ON_DEATH if dies_on_a_day(resources) else set()):
        assert before[key] == after[key], key


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
    if coded_value(before) != "Y":
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
    code = coded_value(found)
    if expected is None:
        assert code == "N"
    else:
        assert (code, found["effectiveDateTime"]) == (
            "Y",
            str(D0 + timedelta(days=30 * (expected + 1))),
        )
