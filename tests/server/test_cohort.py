"""A cohort pulled from a server: what a folder of the same gives."""

import json
from pathlib import Path

import pandas as pd
import pytest

import fhircryo
from fhircryo.settings import ServerSettings, Settings
from tests.server.demo_server import load_cohort
from tests.server.hapi import HapiServer, reset
from tests.server.loading import post, transaction
from tests.unit.inputs import AS_OF, COHORT, cli

TABLES = ["adverse_events", "endpoints", "events", "patients", "psa", "questionnaires"]


@pytest.fixture(scope="module")
def loaded(hapi: HapiServer) -> HapiServer:
    """The server with the 62 patients in it."""
    reset(hapi.url)
    load_cohort(hapi.url)
    return hapi


def test_the_same_tables_as_from_the_folder(loaded, tmp_path):
    key = tmp_path / "key"
    for name, source in (("folder", COHORT), ("server", loaded.url)):
        ran = cli("cohort", source, tmp_path / name, "--as-of", AS_OF, "--key", key)
        assert ran.code == 0, ran.err
        assert "in the cohort               62" in ran.err
    for name in TABLES:
        ours, theirs = (
            pd.read_parquet(tmp_path / one / f"{name}.parquet") for one in ("folder", "server")
        )
        pd.testing.assert_frame_equal(ours, theirs)
    flows = [json.loads((tmp_path / one / "flow.json").read_text()) for one in ("folder", "server")]
    assert flows[0]["evaluable"] == flows[1]["evaluable"]
    for file in (tmp_path / "server").rglob("*"):
        if file.is_file():
            assert loaded.url.encode() not in file.read_bytes(), file


def test_the_patients_of_a_group(loaded, tmp_path):
    names = sorted(fhircryo.cohort(COHORT, as_of=AS_OF, identified=True)["patients"]["patient"])[:3]
    members = [{"entity": {"reference": f"Patient/{name}"}} for name in names]
    group = {
        "resourceType": "Group",
        "id": "trial",
        "type": "person",
        "actual": True,
        "member": members,
    }
    post(loaded.url, transaction([group]))
    found = fhircryo.cohort(loaded.url, as_of=AS_OF, patients="Group/trial", identified=True)
    assert sorted(found["patients"]["patient"]) == names


def test_a_library_call_takes_settings(loaded):
    settings = Settings(source=ServerSettings(page_size=50))
    found = fhircryo.cohort(loaded.url, as_of=AS_OF, settings=settings)
    assert len(found["patients"]) == 62
    assert int(found["patients"]["disease_free_12_months"].sum()) == 36


def test_a_server_that_is_not_there(tmp_path: Path):
    ran = cli("cohort", "http://127.0.0.1:9/fhir", tmp_path / "out")
    assert ran.code == 3
    assert list(tmp_path.iterdir()) == []
