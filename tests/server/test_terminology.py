"""Our terminology on a real server: valid by its own check, kept, and of use there."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from fhircryo.mapping.load import load_mappings
from fhircryo.setup.terminology.terminology_folder import terminology
from tests.server.hapi import HapiServer, reset
from tests.server.loading import load

OVERLAY = Path(__file__).parents[2] / "examples" / "site-overlay" / "site.yaml"
RESOURCES = terminology(load_mappings([OVERLAY]))
JSON = {"Content-Type": "application/fhir+json"}


def issues(outcome: Any, *severities: str) -> list[str]:
    return [one.get("diagnostics", "") for one in outcome["issue"] if one["severity"] in severities]


@pytest.fixture(scope="module")
def loaded(hapi: HapiServer) -> str:
    reset(hapi.url)
    load(hapi.url, RESOURCES)
    return hapi.url


#: HL7 Terminology writes the code in small letters; the server holds R4's edition, ``Unlikely``.
#: https://terminology.hl7.org/CodeSystem-adverse-event-causality-assess.html
ANOTHER_EDITION = (
    "The source code 'unlikely' is not valid in the code system"
    " http://terminology.hl7.org/CodeSystem/adverse-event-causality-assess|4.0.1"
)


@pytest.mark.parametrize(
    "resource", RESOURCES, ids=lambda one: f"{one['resourceType']}-{one['id']}"
)
def test_the_server_finds_it_valid(resource, loaded):
    answer = requests.post(
        f"{loaded}/{resource['resourceType']}/$validate", json=resource, headers=JSON, timeout=120
    )
    found = issues(answer.json(), "error", "fatal")
    assert [one for one in found if one != ANOTHER_EDITION] == []


def test_a_broken_one_is_not_valid(loaded):
    broken = json.loads(json.dumps(RESOURCES[0]))
    broken["status"] = "no such status"
    url = f"{loaded}/{broken['resourceType']}/$validate"
    answer = requests.post(url, json=broken, headers=JSON, timeout=120)
    assert issues(answer.json(), "error", "fatal")


def test_all_are_kept(loaded):
    for one in RESOURCES:
        url = f"{loaded}/{one['resourceType']}"
        found = requests.get(url, {"url": one["url"], "version": one["version"]}, timeout=60).json()
        kept = [entry["resource"] for entry in found.get("entry", ())]
        assert [resource["id"] for resource in kept] == [one["id"]]


@pytest.mark.parametrize(
    "system, code, known",
    [
        ("endpoint", "biochemical-failure", True),
        ("clavien-dindo", "IIIb", True),
        ("clavien-dindo", "none", True),
        ("clavien-dindo", "VI", False),
        ("reason", "too-few-psa", True),
    ],
)
def test_the_server_knows_our_codes(system, code, known, loaded):
    url = f"{loaded}/CodeSystem/$validate-code"
    asked = {"url": f"https://w3id.org/fhircryo/CodeSystem/{system}", "code": code}
    answer = requests.get(url, asked, timeout=60).json()
    result = next(one for one in answer["parameter"] if one["name"] == "result")
    assert result["valueBoolean"] is known


def test_the_server_translates_a_site_code(loaded):
    asked = {
        "url": "https://w3id.org/fhircryo/ConceptMap/concept",
        "system": "https://ziekenhuis.example/lab",
        "code": "PSA01",
    }
    answer = requests.get(f"{loaded}/ConceptMap/$translate", asked, timeout=60).json()
    matches = [one for one in answer["parameter"] if one["name"] == "match"]
    codings = [
        part["valueCoding"] for one in matches for part in one["part"] if part["name"] == "concept"
    ]
    assert [coding["code"] for coding in codings] == ["psa"]
