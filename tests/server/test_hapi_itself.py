"""That the server of the tests is what the other tests take it for."""

from pathlib import Path
from typing import Any

import pytest
import requests

from tests.server.hapi import HapiServer, reset, switches
from tests.server.loading import RefusedLoad, load, post, transaction
from tests.server.proxy import FaultProxy, searches

COHORT = Path(__file__).parents[2] / "examples" / "bomers-2020"
#: Resources of the cohort's folder by type; of several versions one counts.
COUNTS = {
    "Patient": 74,
    "Procedure": 275,
    "AdverseEvent": 28,
    "Condition": 172,
    "QuestionnaireResponse": 983,
    "Observation": 1426,
}
FHIR_JSON = {"Content-Type": "application/fhir+json"}
BASE = "https://w3id.org/fhircryo"

PATIENT = {"resourceType": "Patient", "id": "2015001"}
PSA = {
    "resourceType": "Observation",
    "id": "psa-1",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "2857-1"}]},
    "subject": {"reference": "Patient/2015001"},
    "effectiveDateTime": "2016-01-01",
    "valueQuantity": {
        "value": 1.5,
        "unit": "ng/mL",
        "system": "http://unitsofmeasure.org",
        "code": "ng/mL",
    },
}


def get(url: str, **params: Any) -> Any:
    response = requests.get(url, params, timeout=60)
    assert response.ok, response.text
    return response.json()


def errors(outcome: Any) -> list[str]:
    return [
        issue["diagnostics"]
        for issue in outcome["issue"]
        if issue["severity"] in ("error", "fatal")
    ]


def observation_statement(hapi: HapiServer) -> Any:
    statement = get(f"{hapi.url}/metadata")
    return next(one for one in statement["rest"][0]["resource"] if one["type"] == "Observation")


def test_metadata(hapi: HapiServer) -> None:
    statement = get(f"{hapi.url}/metadata")
    assert statement["fhirVersion"] == "4.0.1"
    assert "transaction" in [one["code"] for one in statement["rest"][0]["interaction"]]
    observation = observation_statement(hapi)
    assert observation["updateCreate"] is True
    assert observation["conditionalUpdate"] is True


def test_switches_show_in_the_statement_and_in_what_is_done(empty_hapi: HapiServer) -> None:
    with empty_hapi.switched(update_as_create=False):
        assert observation_statement(empty_hapi)["updateCreate"] is False
        refused = requests.put(f"{empty_hapi.url}/Patient/p1", json={**PATIENT, "id": "p1"})
        assert refused.status_code in (400, 404)
        created = post(f"{empty_hapi.url}/Patient", {"resourceType": "Patient"})
        assert created["id"].isdecimal()
    assert observation_statement(empty_hapi)["updateCreate"] is True
    assert switches(empty_hapi.url)["update_as_create"] == "true"


def test_cohort_loads_in_less_than_a_minute(empty_hapi: HapiServer) -> None:
    loaded = load(empty_hapi.url, COHORT)
    assert loaded.left_out == []
    assert all(stub.startswith("Patient/") for stub in loaded.stubs)
    found = {kind: empty_hapi.count(kind) for kind in COUNTS}
    assert found == {**COUNTS, "Patient": COUNTS["Patient"] + len(loaded.stubs)}
    assert loaded.seconds < 60
    # By patient, too: references were relative, versioned, absolute and urn:uuid.
    by_patient = 0
    for entry in get(f"{empty_hapi.url}/Patient", _count=50, _elements="id")["entry"]:
        by_patient += empty_hapi.count("Observation", patient=entry["resource"]["id"])
    assert by_patient > COUNTS["Observation"] / 2


def test_reset_empties(hapi: HapiServer) -> None:
    load(hapi.url, [PATIENT, PSA])
    reset(hapi.url)
    assert hapi.count("Patient") == hapi.count("Observation") == 0
    load(hapi.url, [PATIENT, PSA])
    assert get(f"{hapi.url}/Observation/psa-1")["meta"]["versionId"] == "1"


def test_a_lenient_load_leaves_out_what_is_refused(empty_hapi: HapiServer) -> None:
    bad = {**PSA, "id": "bad", "effectiveDateTime": "2016-13-45"}
    with pytest.raises(RefusedLoad, match="2016-13-45"):
        load(empty_hapi.url, [PATIENT, PSA, bad])
    loaded = load(empty_hapi.url, [PATIENT, PSA, bad, {**PSA, "id": "b2"}], lenient=True)
    assert list(loaded.refused) == ["Observation/bad"]
    assert loaded.counts == {"Patient": 1, "Observation": empty_hapi.count("Observation")}


def pages_of(url: str, **params: Any) -> list[list[str]]:
    page = get(url, **params)
    found = []
    while True:
        found.append([entry["resource"]["id"] for entry in page.get("entry", ())])
        onward = [link["url"] for link in page["link"] if link["relation"] == "next"]
        if not onward:
            return found
        page = get(onward[0])


@pytest.mark.parametrize("size, granted", [(4, 4), (50, 12), (1000, 12)])
def test_pages_as_asked(empty_hapi: HapiServer, size: int, granted: int) -> None:
    load(empty_hapi.url, [PATIENT, *({**PSA, "id": f"o{number}"} for number in range(12))])
    found = pages_of(f"{empty_hapi.url}/Observation", _count=size)
    assert len(found[0]) == granted
    assert sorted(name for page in found for name in page) == sorted(
        f"o{number}" for number in range(12)
    )


def test_page_size_is_capped(empty_hapi: HapiServer) -> None:
    load(empty_hapi.url, [PATIENT, *({**PSA, "id": f"o{number}"} for number in range(12))])
    with empty_hapi.switched(max_page=5):
        found = pages_of(f"{empty_hapi.url}/Observation", _count=1000)
    assert [len(page) for page in found] == [5, 5, 2]


def test_validate_knows_the_base_profiles(hapi: HapiServer) -> None:
    url = f"{hapi.url}/Observation/$validate"
    good = requests.post(url, json=PSA, headers=FHIR_JSON, timeout=120).json()
    assert errors(good) == []
    bad = requests.post(url, json={**PSA, "status": "done"}, headers=FHIR_JSON, timeout=120).json()
    assert any("status" in error or "ObservationStatus" in error for error in errors(bad))


def test_conditional_update_by_identifier(empty_hapi: HapiServer) -> None:
    load(empty_hapi.url, [PATIENT])
    endpoint = {key: value for key, value in PSA.items() if key != "id"}
    endpoint["identifier"] = [{"system": f"{BASE}/endpoint", "value": "e1"}]
    url = f"{empty_hapi.url}/Observation?identifier={BASE}/endpoint|e1"
    answers = [requests.put(url, json=endpoint, headers=FHIR_JSON, timeout=60) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[1].json()["meta"]["versionId"] == "1"
    changed = {**endpoint, "status": "entered-in-error"}
    answer = requests.put(url, json=changed, headers=FHIR_JSON, timeout=60)
    assert answer.json()["meta"]["versionId"] == "2"
    assert empty_hapi.count("Observation") == 1


def test_transaction_is_all_or_nothing(empty_hapi: HapiServer) -> None:
    answer = post(empty_hapi.url, transaction([PATIENT, PSA]))
    assert [entry["response"]["status"] for entry in answer["entry"]] == ["201 Created"] * 2
    stray = {**PSA, "id": "psa-2", "subject": {"reference": "Patient/nobody"}}
    refused = requests.post(
        empty_hapi.url, json=transaction([{**PSA, "id": "psa-3"}, stray]), headers=FHIR_JSON
    )
    assert refused.status_code == 400
    assert "Patient/nobody" in errors(refused.json())[0]
    assert empty_hapi.count("Observation") == 1


def test_what_is_referred_to_cannot_be_deleted(empty_hapi: HapiServer) -> None:
    load(empty_hapi.url, [PATIENT, PSA])
    assert requests.delete(f"{empty_hapi.url}/Patient/2015001").status_code == 409
    assert requests.delete(f"{empty_hapi.url}/Observation/psa-1").status_code == 200
    assert requests.get(f"{empty_hapi.url}/Observation/psa-1").status_code == 410


def test_search_through_the_proxy(empty_hapi: HapiServer) -> None:
    load(empty_hapi.url, [PATIENT, *({**PSA, "id": f"o{number}"} for number in range(7))])
    with FaultProxy(empty_hapi.url) as proxy:
        found = pages_of(f"{proxy.url}/Observation", code="http://loinc.org|2857-1", _count=3)
        assert [len(page) for page in found] == [3, 3, 1]
        assert len(proxy.requests) == 3, "all pages came through the proxy"
        assert proxy.asked(searches)[0].param("code") == ["http://loinc.org|2857-1"]


def test_small_pages_come_from_a_server_of_its_own(
    empty_hapi: HapiServer, empty_hapi_small_pages: HapiServer
) -> None:
    load(empty_hapi_small_pages.url, [PATIENT, *({**PSA, "id": f"o{n}"} for n in range(6))])
    found = pages_of(f"{empty_hapi_small_pages.url}/Observation", _count=100)
    assert [len(page) for page in found] == [5, 1]
    assert empty_hapi.count("Observation") == 0
