"""A server of FHIR R5 is read, by search and by export; it is not written to."""

import json
import time
from collections.abc import Iterator

import pytest
import requests

from tests.acceptance.r5_shape import as_r5
from tests.server.cohorts import Resource, coded, cohort, index
from tests.server.conftest import serve
from tests.server.hapi import HapiServer, reset
from tests.server.loading import load, read_folder
from tests.server.published import endpoints
from tests.server.test_sync import Site, written
from tests.unit import inputs
from tests.unit.inputs import AS_OF, COHORT, cli

#: What we search by, as R5 lists it; https://hl7.org/fhir/R5/searchparameter-registry.html
PARAMETERS = {
    "Procedure": {"code", "patient"},
    "Observation": {"code", "combo-code", "patient"},
    "Condition": {"patient"},
    "AdverseEvent": {"subject"},
    "QuestionnaireResponse": {"patient"},
    "MedicationRequest": {"patient"},
    "MedicationStatement": {"patient"},
    "MedicationAdministration": {"patient"},
    "Patient": {"_id", "link"},
    "Medication": {"_id"},
}


@pytest.fixture(scope="module")
def r5(request: pytest.FixtureRequest) -> Iterator[HapiServer]:
    """A server of R5 that holds the 62 patients in R5's shape."""
    for server in serve(request, max_page=500, fhir="R5"):
        load(server.url, [as_r5(one) for one in read_folder(COHORT)])
        yield server


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The endpoints of the folder, which is R4."""
    target = tmp_path_factory.mktemp("expected")
    return inputs.compute(COHORT, target / "out").files["Observation.ndjson"]


def test_the_server_is_one_of_r5_and_searches_as_we_do(r5):
    statement = requests.get(f"{r5.url}/metadata", timeout=60).json()
    assert statement["fhirVersion"] == "5.0.0"
    listed = {
        one["type"]: {param["name"] for param in one.get("searchParam", ())}
        for one in statement["rest"][0]["resource"]
    }
    for kind, names in PARAMETERS.items():
        assert names <= listed[kind], kind


def test_a_search_gives_what_the_folder_of_r4_gives(r5, expected, tmp_path):
    ran = cli("compute", r5.url, tmp_path / "out", "--as-of", AS_OF)
    assert ran.code == 0, ran.err
    assert (tmp_path / "out" / "Observation.ndjson").read_bytes() == expected


@pytest.mark.parametrize("level", ["system", "patient"])
def test_an_export_gives_what_the_folder_of_r4_gives(level, r5, expected, tmp_path, monkeypatch):
    hurry(monkeypatch)
    with r5.switched(hurry_jobs=True):
        ran = cli("compute", r5.url, tmp_path / "out", "--as-of", AS_OF, "--bulk", level)
    assert ran.code == 0, ran.err
    assert (tmp_path / "out" / "Observation.ndjson").read_bytes() == expected


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """HAPI says: ask again in two minutes."""
    asleep = time.sleep
    monkeypatch.setattr(
        "fhircryo.fhir.bulk.export_job.time.sleep", lambda wait: asleep(min(wait, 0.25))
    )


def test_endpoints_are_not_written_to_it(r5, tmp_path):
    before = r5.count("Observation")
    for source in (COHORT, r5.url):
        ran = cli("compute", source, r5.url, "--as-of", AS_OF)
        assert ran.code == 5
        assert (
            "a server of FHIR 5.0.0 can be SOURCE, but endpoints are not written to it" in ran.err
        )
    assert r5.count("Observation") == before


def test_doctor_and_survey_read_it(r5):
    ran = cli("doctor", r5.url)
    assert ran.code == 0, ran.out
    ran = cli("doctor", r5.url, r5.url)
    assert ran.code == 5
    assert "are not written to a server of FHIR 5.0.0" in ran.out
    ran = cli("mappings", "survey", r5.url)
    assert ran.code == 0, ran.err
    assert "Procedure 275" in ran.out


# --------------------------------------------------------------- these empty the server first


def with_a_drug(by_reference: bool) -> list[Resource]:
    """A man whose hormone therapy is named by a Medication, or in the request itself."""
    leuprorelin = coded("http://www.whocc.no/atc", "L02AE02")
    request = {
        "resourceType": "MedicationRequest",
        "id": "p1-request",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p1"},
        "authoredOn": "2015-09-01",
    }
    if not by_reference:
        return [*cohort("p1"), request | {"medicationCodeableConcept": leuprorelin}]
    drug = {"resourceType": "Medication", "id": "leuprorelin", "code": leuprorelin}
    named = request | {"medicationReference": {"reference": "Medication/leuprorelin"}}
    return [*cohort("p1"), drug, named]


def test_scheduled_runs_read_it(r5, empty_hapi, tmp_path):
    """From a server of R5 to one of R4: all, then what changed; a full run finds nothing more."""
    reset(r5.url)
    load(r5.url, [as_r5(one) for one in cohort("p1", "p2")])
    site = Site(r5.url, tmp_path / "state")
    site.sync_settings = {"target": empty_hapi.url}
    first = site.sync()
    assert first.full == "no state of an earlier run"
    assert written(first) == {"new": len(endpoints(empty_hapi.url))}
    request = next(one for one in with_a_drug(False) if one["id"] == "p1-request")
    operation = index("p2", status="entered-in-error")
    site.put(as_r5(request))
    second = site.sync()
    assert (second.full, second.changed, second.patients) == ("", 1, 1)
    assert "changed" in written(second)
    site.put(as_r5(operation))
    third = site.sync(allow_retractions=True)
    assert (third.full, third.changed) == ("", 1)
    assert set(written(third)) == {"retracted"}
    again = site.sync(full=True)
    assert (again.patients, written(again)) == (1, {})


@pytest.mark.parametrize("by_reference", [True, False])
def test_a_medication_that_a_request_refers_to_is_found(by_reference, r5, tmp_path):
    resources = with_a_drug(by_reference)
    reset(r5.url)
    load(r5.url, [as_r5(one) for one in resources])
    found = inputs.folder(tmp_path / "in", {"all.ndjson": resources})
    for name, source in (("folder", found), ("server", r5.url)):
        ran = cli("compute", source, tmp_path / name, "--as-of", AS_OF)
        assert ran.code == 0, ran.err
    ours, theirs = (
        (tmp_path / name / "Observation.ndjson").read_text() for name in ("folder", "server")
    )
    assert ours == theirs
    (salvage,) = (line for line in ours.splitlines() if "time-to-salvage-therapy" in line)
    assert json.loads(salvage)["valueQuantity"]["value"] == 184
