"""A server of FHIR R5 is read, by search and by export, and endpoints are written to it."""

import json
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import requests

from tests.acceptance.r5_shape import as_r5
from tests.server.cohorts import Resource, coded, cohort, index
from tests.server.hapi import HapiServer, reset
from tests.server.loading import load, read_folder
from tests.server.published import contents, endpoints, everything, said, statuses, versions
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
def r5(hapi_r5: HapiServer) -> HapiServer:
    """A server of R5 that holds the 62 patients in R5's shape."""
    reset(hapi_r5.url)
    load(hapi_r5.url, [as_r5(one) for one in read_folder(COHORT)])
    return hapi_r5


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


def test_doctor_and_survey_read_it(r5):
    ran = cli("doctor", r5.url)
    assert ran.code == 0, ran.out
    ran = cli("doctor", r5.url, r5.url)
    assert ran.code == 0, ran.out
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


# --------------------------------------------------------------- written to


def test_endpoints_are_written_to_it_and_compared(r5, tmp_path):
    """The same as in a folder; again nothing; after a correction what it changes."""
    reset(r5.url)
    load(r5.url, [as_r5(one) for one in cohort("p1", "p2")])
    site = Site(r5.url, tmp_path / "state")
    first = site.sync()
    assert written(first) == {"new": len(endpoints(r5.url))}
    assert contents(r5.url) == folder_contents(tmp_path / "in", site.today, "p1", "p2")
    before = versions(r5.url)
    assert written(site.sync(full=True)) == {}
    assert versions(r5.url) == before
    site.put(as_r5(next(one for one in with_a_drug(False) if one["id"] == "p1-request")))
    second = site.sync()
    assert (second.full, second.changed) == ("", 1)
    assert "changed" in written(second)
    assert "amended" in statuses(r5.url, "p1")
    site.put(as_r5(index("p2", status="entered-in-error")))
    assert set(written(site.sync(allow_retractions=True))) == {"retracted"}
    assert statuses(r5.url, "p2") == {"entered-in-error"}
    assert written(site.sync(full=True)) == {}


def test_provenance_and_device_have_the_shape_of_r5(r5):
    """Of the runs of the test before."""
    found = [one for one in everything(r5.url, "Provenance") if "profile" in one["meta"]]
    computed = [one for one in found if one["activity"]["text"].startswith("Computed")]
    assert {one["patient"]["reference"] for one in computed} == {"Patient/p1", "Patient/p2"}
    assert len(found) > len(computed)  # those of the retractions
    for one in found:
        assert one["occurredDateTime"] == one["recorded"]
    (device,) = everything(r5.url, "Device")
    assert [one["value"] for one in device["name"]] == ["fhircryo"]


def folder_contents(folder: Path, as_of: date, *patients: str) -> dict[str, Resource]:
    """What the same resources give in a folder."""
    source = inputs.folder(folder, {"all.ndjson": cohort(*patients)})
    made = inputs.compute(source, folder / "out", as_of=as_of)
    lines = made.files["Observation.ndjson"].splitlines()
    found = [json.loads(line, parse_float=Decimal) for line in lines]
    return {one["id"]: said(one) for one in found}
