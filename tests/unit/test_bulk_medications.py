"""Medications that a bulk export does not hold: looked up one by one, or the run fails.

A Medication says that a therapy is hormone therapy. Where it is missing, a biochemical failure by
salvage therapy would silently become N.
"""

import json
from pathlib import Path

import pytest

from tests.unit import inputs
from tests.unit.bulk_server import BulkServer, files_of
from tests.unit.inputs import AS_OF, Ran, Resource, cli

PROTOCOLS = Path(__file__).parents[2] / "mappings" / "protocols"
DRUG = {
    "resourceType": "Medication",
    "id": "d1",
    "code": inputs.concept("http://www.whocc.no/atc", "L02AE02"),
}
OTHER_DRUG = {**DRUG, "id": "d2", "code": inputs.concept("http://www.whocc.no/atc", "N02BE01")}


def request(name: str, drug: str) -> Resource:
    return {
        "resourceType": "MedicationRequest",
        "id": name,
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p1"},
        "authoredOn": "2016-06-01",
        "medicationReference": {"reference": f"Medication/{drug}"},
    }


RESOURCES = [
    inputs.patient("p1"),
    inputs.procedure("x1", "2016-01-10"),
    inputs.psa("a1", "2016-03-01", 0.4),
    inputs.psa("a2", "2016-12-10", 0.5),
    request("t1", "d1"),
    request("t2", "d2"),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FHIRCRYO_SOURCE__RETRY_BUDGET", "1")
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))


def compute(server: BulkServer, target: Path) -> Ran:
    options = ("--as-of", AS_OF, "--bulk", "system")
    return cli("compute", server.url, target, *options)


def disease_free(target: Path) -> str:
    """The salvage therapy, whose drug stands in a Medication, makes it N."""
    for line in (target / "Observation.ndjson").read_bytes().splitlines():
        found = json.loads(line)
        if found["code"]["coding"][0]["code"] == "disease-free-12-months":
            return found["valueCodeableConcept"]["coding"][0]["code"]
    raise AssertionError("disease-free was not published")


def server(status: int | None = None, *, lists: int = 200) -> BulkServer:
    """Answers a search for Medications with ``status``; a list of several ids with ``lists``."""

    def answer(ids: list[str]) -> int:
        return lists if len(ids) > 1 else status or 200

    found = {"d1": DRUG, "d2": OTHER_DRUG}
    return BulkServer(files_of(RESOURCES), medications=found, medication_status=answer)


def test_a_list_of_ids_is_searched_at_once(tmp_path):
    with server() as bulk:
        ran = compute(bulk, tmp_path / "out")
    assert ran.code == 0, ran.err
    assert disease_free(tmp_path / "out") == "N"
    assert bulk.medication_searches == [["d1", "d2"]]


@pytest.mark.parametrize("status", [400, 403, 404, 414, 422, 501])
def test_where_lists_are_refused_the_ids_are_searched_one_by_one(status, tmp_path):
    with server(lists=status) as bulk:
        ran = compute(bulk, tmp_path / "out")
    assert ran.code == 0, ran.err
    assert disease_free(tmp_path / "out") == "N"
    assert bulk.medication_searches[-2:] == [["d1"], ["d2"]]


@pytest.mark.parametrize("status", [403, 404])
def test_where_they_are_forbidden_medications_are_lacking(status, tmp_path):
    """Either therapy may be hormone therapy: that there was none is not known."""
    with server(status, lists=status) as bulk:
        ran = compute(bulk, tmp_path / "out")
    assert ran.code == 0, ran.err
    assert f"WITHHELD: Medication: not everything was read: status {status}" in ran.err
    published = (tmp_path / "out" / "Observation.ndjson").read_bytes().splitlines()
    found = inputs.value([json.loads(line) for line in published], "disease-free-12-months")
    assert found == "absent source-lacks-type"


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 405, 500, 503])
def test_any_other_refusal_is_an_error(status, tmp_path):
    with server(status, lists=status) as bulk:
        ran = compute(bulk, tmp_path / "out")
    assert ran.code == 3
    assert "/Medication" in ran.err
    assert not (tmp_path / "out").exists()
