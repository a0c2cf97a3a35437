"""The Measure and the MeasureReport on a real server, which can ask for each population itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.server.hapi import HapiServer, reset
from tests.server.loading import load
from tests.unit.inputs import AS_OF, COHORT, cli

JSON = {"Content-Type": "application/fhir+json"}
KEY = "disease-free-12-months"


@pytest.fixture(scope="module", autouse=True)
def own_codes() -> Iterator[None]:
    """Code systems of another name than ours: the server remembers for long that it lacks one."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FHIRCRYO_BASE", "https://example.org/measured")
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory, own_codes) -> Path:
    target = tmp_path_factory.mktemp("measure") / "out"
    options = ("--as-of", AS_OF, "--no-report", "--identified", "--yes", "--measure-report")
    ran = cli("cohort", COHORT, target, *options)
    assert ran.code == 0, ran.err
    return target


@pytest.fixture(scope="module")
def loaded(hapi: HapiServer, tmp_path_factory, own_codes) -> str:
    """A server with the published endpoint of each patient."""
    reset(hapi.url)
    target = tmp_path_factory.mktemp("computed") / "out"
    assert cli("compute", COHORT, target, "--as-of", AS_OF).code == 0
    lines = (target / "Observation.ndjson").read_text("utf-8").splitlines()
    load(hapi.url, [json.loads(line) for line in lines if f'"{KEY}"' in line])
    return hapi.url


def validated(url: str, resource: Any) -> list[str]:
    """What the server finds wrong with a resource."""
    answer = requests.post(
        f"{url}/{resource['resourceType']}/$validate", json=resource, headers=JSON, timeout=120
    )
    issues = answer.json()["issue"]
    return [one.get("diagnostics", "") for one in issues if one["severity"] in ("error", "fatal")]


@pytest.mark.parametrize("name", ["Measure", "MeasureReport"])
def test_the_server_finds_it_valid(name, folder, loaded):
    resource = json.loads((folder / f"{name}.json").read_text("utf-8"))
    assert validated(loaded, resource) == []
    resource["status"] = "no such status"
    assert validated(loaded, resource)


def test_the_searches_of_the_measure_find_what_the_report_counts(folder, loaded):
    [measured] = json.loads((folder / "Measure.json").read_text("utf-8"))["group"]
    [reported] = json.loads((folder / "MeasureReport.json").read_text("utf-8"))["group"]
    counts = [population["count"] for population in reported["population"]]
    found = []
    for population in measured["population"]:
        search = population["criteria"]["expression"]
        answer = requests.get(f"{loaded}/{search}", {"_summary": "count"}, timeout=60)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["total"])
    assert found == counts
    # With the default base 36: codes of it in the example mean nothing under another one.
    assert counts[-1] == 38
