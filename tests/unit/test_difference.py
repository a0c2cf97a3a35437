"""What a run changes on a target, given the endpoints that it holds; without a server."""

import json
from datetime import date
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from fhircryo.publish.as_on_server import (
    References,
    as_on_server,
    digest,
    name_of,
    subject_id,
    value_of,
)
from fhircryo.publish.difference import Action, Difference, changes_of
from fhircryo.publish.origin import Origin
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.provenance import provenance
from fhircryo.publish.published_endpoint import PublishedEndpoint
from fhircryo.publish.shapes import ENCODER, OBSERVATION_DECODER, OutReference, plain

URL = "https://fhir.example/r4"
ORIGIN = Origin("https://w3id.org/fhircryo", "", "bomers-2020", "1.0", date(2017, 12, 31))
LITERAL = References("literal", "literal", "")
LOGICAL = References("logical", "logical", URL)


def endpoint(value: str = "0.4", status: str = "final", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": "e1",
        "meta": {"tag": [{"system": "s", "code": "research-use"}]},
        "identifier": [{"system": "https://w3id.org/fhircryo/endpoint", "value": "e1"}],
        "status": status,
        "category": [{"coding": [{"system": "s", "code": "derived-endpoint"}]}],
        "code": {"coding": [{"system": "s", "code": "psa-nadir"}], "text": "words"},
        "subject": {"reference": "Patient/p1"},
        "partOf": [{"reference": "Procedure/x1"}],
        "effectiveDateTime": "2015-12-01",
        "valueQuantity": {"value": Decimal(value), "unit": "ng/mL"},
        "derivedFrom": [{"reference": "Observation/a"}],
        "device": {"reference": "Device/fhircryo"},
        **more,
    }


def published(resource: dict[str, Any], name: str = "e1") -> PublishedEndpoint:
    return PublishedEndpoint(
        "e1", name, "1", resource["status"], digest(resource, URL), "p1", True, "", ""
    )


def output(resource: dict[str, Any]) -> PatientOutput:
    observation = OBSERVATION_DECODER.decode(ENCODER.encode(resource))
    return PatientOutput("p1", [observation], provenance(["e1"], [], ORIGIN))


STATUSES = ("preliminary", "final", "amended", "entered-in-error")


@pytest.mark.parametrize(
    "held, computed, same, written",
    [
        ("preliminary", "preliminary", True, None),
        ("preliminary", "final", True, "final"),
        ("final", "final", True, None),
        ("amended", "final", True, None),
        ("amended", "preliminary", True, None),
        ("final", "preliminary", True, "amended"),
        ("preliminary", "preliminary", False, "preliminary"),
        ("preliminary", "final", False, "final"),
        ("final", "final", False, "amended"),
        ("final", "preliminary", False, "amended"),
        ("amended", "final", False, "amended"),
        ("amended", "preliminary", False, "amended"),
        ("entered-in-error", "final", True, "amended"),
        ("entered-in-error", "final", False, "amended"),
        ("entered-in-error", "preliminary", True, "preliminary"),
        ("entered-in-error", "preliminary", False, "preliminary"),
    ],
)
def test_the_status_that_is_published(held, computed, same, written):
    there = published(endpoint("0.4", held))
    found = changes_of(
        "p1", output(endpoint("0.4" if same else "0.5", computed)), (), {"e1": [there]}, URL
    )
    if written is None:
        assert (found.changes, found.unchanged) == ([], 1)
    else:
        (change,) = found.changes
        assert (change.action, change.status) == (Action.CHANGED, written)


def test_every_status_is_settled_after_one_write():
    """Whatever the target holds and whatever is computed, a repeated run writes nothing more."""
    for held, computed, value in product(STATUSES, ("preliminary", "final"), ("0.4", "0.5")):
        there = {"e1": [published(endpoint("0.4", held))]}
        mine = endpoint(value, computed)
        for change in changes_of("p1", output(mine), (), there, URL).changes:
            there = {"e1": [published(endpoint(value, change.status))]}
        again = changes_of("p1", output(mine), (), there, URL)
        assert again.changes == [], (held, computed, value)


def test_what_a_server_does_to_a_resource_is_no_change():
    written = endpoint("0.40")
    stored = json.loads(ENCODER.encode(written), parse_float=Decimal)
    stored |= {
        "meta": {"versionId": "7", "lastUpdated": "2026-01-01T00:00:00Z"},
        "text": {"status": "generated"},
        "subject": {"reference": f"{URL}/Patient/p1"},
        "derivedFrom": [{"reference": "Observation/a/_history/3"}],
        "valueQuantity": {"unit": "ng/mL", "value": Decimal("0.400")},
    }
    assert digest(stored, URL) == digest(written, URL)


@pytest.mark.parametrize(
    "other",
    [
        endpoint("0.41"),
        endpoint(effectiveDateTime="2015-12-02"),
        endpoint(derivedFrom=[{"reference": "Observation/b"}]),
        endpoint(derivedFrom=[{"reference": "https://elsewhere.example/Observation/a"}]),
        endpoint(component=[{"valueInteger": 1}]),
        endpoint(dataAbsentReason={"coding": [{"code": "unknown"}]}),
        endpoint(subject={"reference": "Patient/p2"}),
    ],
)
def test_what_says_something_else_is_a_change(other):
    assert digest(other, URL) != digest(endpoint(), URL)


def test_retracted_is_what_was_not_computed_any_more_and_only_once():
    there = {"e1": [published(endpoint())]}
    (change,) = changes_of("p1", None, ["e1"], there, URL).changes
    assert (change.action, change.status) == (Action.RETRACTED, "entered-in-error")
    gone = {"e1": [published(endpoint(status="entered-in-error"))]}
    assert changes_of("p1", None, ["e1"], gone, URL).changes == []


def test_duplicates_are_named_and_nothing_else_is_written():
    there = {"e1": [published(endpoint(), "e1"), published(endpoint("0.5"), "17")]}
    found = changes_of("p1", output(endpoint("0.6")), (), there, URL)
    assert found.changes == []
    assert "Observation/17, Observation/e1" in found.problem
    assert Difference([found], lambda: 1).counts() == {Action.UNCHANGED: 0}


def on_server(references: References, device: OutReference | None) -> dict[str, Any]:
    (observation,) = as_on_server(output(endpoint()), references, "", device).observations
    return plain(observation)


def test_logical_references():
    found = on_server(LOGICAL, None)
    assert found["subject"]["identifier"] == {"system": URL, "value": "Patient/p1"}
    assert found["partOf"][0]["type"] == "Procedure"
    assert found["derivedFrom"][0]["display"] == "Observation/a"
    assert "reference" not in json.dumps(found["derivedFrom"] + found["partOf"], default=str)
    assert "device" not in found
    assert "id" not in found
    assert subject_id(found) == "p1"


def test_with_literal_references_it_is_as_in_a_folder():
    found = on_server(LITERAL, OutReference("Device/fhircryo"))
    assert found == {name: value for name, value in endpoint().items() if name != "id"}


def test_matched_subject():
    found = as_on_server(output(endpoint()), References("match", "logical", URL), "t7", None)
    assert found.observations[0].subject == OutReference("Patient/t7")


def test_the_digest_of_the_object_is_that_of_its_json():
    resource = endpoint("0.0000001", valueInteger=3)
    (observation,) = output(resource).observations
    stored = json.loads(ENCODER.encode(observation), parse_float=Decimal)
    assert digest(plain(observation), URL) == digest(stored, URL)


@pytest.mark.parametrize(
    "subject, patient",
    [
        ({"reference": "Patient/p1"}, "p1"),
        ({"reference": f"{URL}/Patient/p1"}, "p1"),
        ({"identifier": {"system": URL, "value": "Patient/p1"}}, "p1"),
        ({}, ""),
    ],
)
def test_the_patient_that_an_endpoint_is_about(subject, patient):
    assert subject_id({"subject": subject}) == patient


def test_words_for_people():
    point = {
        "code": {"coding": [{"code": "time-point"}]},
        "valueCodeableConcept": {"coding": [{"code": "6-months"}]},
    }
    assert name_of(endpoint(component=[point])) == "psa-nadir 6-months"
    assert value_of(endpoint()) == "0.4 ng/mL 2015-12-01 [final]"
    absent = endpoint(
        status="preliminary",
        dataAbsentReason={"coding": [{"code": "unknown"}, {"code": "too-few-psa"}]},
        effectivePeriod={"start": "2015-01-01"},
    )
    del absent["valueQuantity"], absent["effectiveDateTime"]
    assert value_of(absent) == "absent, too-few-psa 2015-01-01.. [preliminary]"
