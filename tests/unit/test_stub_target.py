"""The stub target itself: what tests of writing stand on is what FHIR says of a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from tests.unit.stub_target import (
    ENDPOINT,
    StubTarget,
    Target,
    conditional_create,
    conditional_update,
    neither,
)

CONDITION = f"identifier={ENDPOINT}|e1"


def endpoint(value: str = "1", name: str | None = None) -> dict[str, Any]:
    one = {
        "resourceType": "Observation",
        "identifier": [{"system": ENDPOINT, "value": "e1"}],
        "valueString": value,
    }
    return one if name is None else {**one, "id": name}


def provenance(*targets: str) -> dict[str, Any]:
    return {"resourceType": "Provenance", "target": [{"reference": one} for one in targets]}


@contextmanager
def running(habits: Target) -> Iterator[StubTarget]:
    with StubTarget(habits) as target:
        yield target


def send(target: StubTarget, method: str, url: str, body: Any, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.request(
        method, f"{target.base}/{url}".rstrip("/"), json=body, headers=named, timeout=10
    )


def found(target: StubTarget) -> int:
    answer = requests.get(f"{target.base}/Observation?{CONDITION}", timeout=10).json()
    return int(answer["total"])


def entry(method: str, url: str, resource: Any, **request: str) -> dict[str, Any]:
    return {"request": {"method": method, "url": url, **request}, "resource": resource}


def transaction(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def test_an_id_of_the_client():
    with running(Target()) as target:
        assert send(target, "PUT", "Observation/e1", endpoint(name="e1")).status_code == 201
        assert send(target, "PUT", "Observation/e1", endpoint("2", "e1")).status_code == 200
        stale = send(target, "PUT", "Observation/e1", endpoint("3", "e1"), If_Match='W/"1"')
        assert stale.status_code == 412
        target.delete("Observation/e1")
        assert requests.get(f"{target.base}/Observation/e1", timeout=10).status_code == 410
    with running(neither()) as target:
        assert send(target, "PUT", "Observation/e1", endpoint(name="e1")).status_code == 405
        assert target.lost(["e1"]) == ["e1"]


def test_conditional_updates_and_creates():
    with running(conditional_update()) as target:
        assert send(target, "PUT", f"Observation?{CONDITION}", endpoint()).status_code == 201
        assert send(target, "PUT", f"Observation?{CONDITION}", endpoint("2")).status_code == 200
        send(target, "POST", "Observation", endpoint())
        assert target.doubles() == ["e1"]
        assert send(target, "PUT", f"Observation?{CONDITION}", endpoint()).status_code == 412
    with running(conditional_create()) as target:
        for expected in (201, 200):
            made = send(target, "POST", "Observation", endpoint(), If_None_Exist=CONDITION)
            assert made.status_code == expected
            assert made.json()["id"] == "s1"
        assert send(target, "PUT", f"Observation?{CONDITION}", endpoint()).status_code == 400
    with running(neither(claims={"conditionalCreate": True})) as target:
        for _ in range(2):
            send(target, "POST", "Observation", endpoint(), If_None_Exist=CONDITION)
        assert target.doubles() == ["e1"]


def test_an_index_that_lags():
    with running(conditional_create(lag_requests=3)) as target:
        send(target, "POST", "Observation", endpoint(), If_None_Exist=CONDITION)
        assert [found(target) for _ in range(3)] == [0, 0, 1]
        target.settle()
        send(target, "PUT", "Observation/s1", endpoint("2", "s1"))
        assert found(target) == 1  # its former version
        target.habits.updates_leave_index = True
        send(target, "PUT", "Observation/s1", endpoint("3", "s1"))
        assert found(target) == 0
        target.settle()
        assert found(target) == 1
    with running(conditional_create(finds_identifiers=False)) as target:
        send(target, "POST", "Observation", endpoint())
        assert found(target) == 0


def test_a_transaction_is_whole():
    with running(neither()) as target:
        made = entry("POST", "Observation", endpoint()) | {"fullUrl": "urn:uuid:1"}
        named = entry("POST", "Provenance", provenance("urn:uuid:1"))
        answer = send(target, "POST", "", transaction(named, made)).json()
        assert answer["type"] == "transaction-response"
        places = [one["response"]["location"].partition("/")[0] for one in answer["entry"]]
        assert places == ["Provenance", "Observation"]
        assert (target.dangling(), target.without_provenance()) == ([], [])
        bad = entry("PUT", "Observation/none", endpoint(name="none"))
        assert send(target, "POST", "", transaction(made, bad)).status_code == 405
        assert target.doubles() == []
        send(target, "POST", "", transaction(entry("POST", "Provenance", provenance(places[1]))))
        assert target.dangling() == ["Observation"]


def test_a_transaction_handled_as_a_batch():
    with running(neither(transaction="batch")) as target:
        made = entry("POST", "Observation", endpoint()) | {"fullUrl": "urn:uuid:1"}
        bad = entry("PUT", "Observation/none", endpoint(name="none"))
        named = entry("POST", "Provenance", provenance("urn:uuid:1"))
        answer = send(target, "POST", "", transaction(made, bad, named)).json()
        statuses = [one["response"]["status"] for one in answer["entry"]]
        assert (answer["type"], statuses) == (
            "batch-response",
            ["201 Created", "405", "201 Created"],
        )
        assert (target.lost(["e1"]), target.dangling()) == ([], ["urn:uuid:1"])


@pytest.mark.parametrize(
    "habits, status",
    [
        (Target(transaction="refused", transaction_refusal=501), 501),
        (Target(most_entries=1), 413),
        (Target(most_entries=1, too_large=422), 422),
        (Target(refuses={"Observation": 403}), 403),
        (Target(rejects=frozenset({"p1"})), 422),
    ],
)
def test_a_transaction_that_is_refused(habits, status):
    with running(habits) as target:
        one = endpoint(name="e1") | {"subject": {"reference": "Patient/p1"}}
        put = entry("PUT", "Observation/e1", one)
        assert send(target, "POST", "", transaction(put, put)).status_code == status
        assert target.endpoints() == {}


@pytest.mark.parametrize(
    "fate, held", [("lost before", []), ("lost after", ["e1"]), ("504 after", ["e1"])]
)
def test_an_answer_that_is_lost(fate, held):
    with running(Target()) as target:
        target.lose = [fate]
        if fate == "504 after":
            assert send(target, "PUT", "Observation/e1", endpoint(name="e1")).status_code == 504
        else:
            with pytest.raises(requests.ConnectionError):
                send(target, "PUT", "Observation/e1", endpoint(name="e1"))
        assert list(target.endpoints()) == held


def test_provenances_that_say_the_same():
    with running(neither()) as target:
        send(target, "POST", "Observation", endpoint())
        assert target.without_provenance() == ["Observation/s1"]
        send(target, "POST", "Provenance", provenance("Observation/s1"))
        assert (target.without_provenance(), target.doubles()) == ([], [])
        send(target, "POST", "Provenance", provenance("Observation/s1"))
        assert target.doubles() == ["Provenance of ('Observation/s1', 1)"]
        send(target, "PUT", "Observation/s1", endpoint("2", "s1"))
        assert target.without_provenance() == ["Observation/s1"]
        answer = requests.get(
            f"{target.base}/Observation?{CONDITION}&_revinclude=Provenance:target", timeout=10
        ).json()
        modes = [one["search"]["mode"] for one in answer["entry"]]
        assert modes == ["match", "include", "include"]
