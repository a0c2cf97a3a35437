"""The terminology as FHIR: valid, complete, reproducible, without displays of other systems."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhircryo import __version__
from fhircryo.endpoints.result import ComponentKey
from fhircryo.mapping.load import load_mappings, load_protocol, protocol_files
from fhircryo.record.items import Reason
from fhircryo.runs.in_memory import compute_resources
from fhircryo.setup.terminology.terminology_folder import terminology
from tests.unit.inputs import AS_OF, BASE, COHORT, cli

EXAMPLES = COHORT.parent
OVERLAY = EXAMPLES / "site-overlay" / "site.yaml"
SHIPPED = terminology(load_mappings())
WITH_SITE = terminology(load_mappings([OVERLAY]))


def by_name(resources: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f"{one['resourceType']}/{one['id']}": one for one in resources}


def codes_of(name: str) -> set[str]:
    return {one["code"] for one in by_name(SHIPPED)[f"CodeSystem/{name}"]["concept"]}


@pytest.mark.parametrize(
    "resource", WITH_SITE, ids=lambda one: f"{one['resourceType']}-{one['id']}"
)
def test_it_is_fhir(resource):
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    assert resource["url"] == f"{BASE}/{resource['resourceType']}/{resource['id']}"
    assert resource["version"] == __version__
    assert (resource["status"], resource["experimental"]) == ("active", False)
    assert "date" not in resource


def test_every_resource_and_code_is_unique():
    assert len(by_name(WITH_SITE)) == len(WITH_SITE)
    names = [(one["resourceType"], one["name"]) for one in WITH_SITE]
    assert len(set(names)) == len(names)
    for one in WITH_SITE:
        if one["resourceType"] == "CodeSystem":
            codes = [concept["code"] for concept in one["concept"]]
            assert len(set(codes)) == len(codes) == one["count"]


def codings(node: Any) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    if isinstance(node, dict):
        if isinstance(node.get("system"), str) and isinstance(node.get("code"), str):
            found.add((node["system"], node["code"]))
        for inner in node.values():
            found |= codings(inner)
    elif isinstance(node, list):
        for inner in node:
            found |= codings(inner)
    return found


def test_every_published_code_of_fhircryo_is_in_a_code_system():
    lines = [
        line
        for path in sorted((EXAMPLES / "site-overlay" / "export").glob("*.ndjson"))
        for line in path.read_bytes().splitlines()
    ]
    lines += [
        line for path in sorted(COHORT.glob("*.ndjson")) for line in path.read_bytes().splitlines()
    ]
    outcome = compute_resources(lines, AS_OF, mappings=load_mappings([OVERLAY]))
    published = {
        (system.rpartition("/")[2], code)
        for system, code in codings(outcome.observations)
        if system.startswith(f"{BASE}/CodeSystem/")
    }
    assert len(published) > 30
    known = {
        (one["id"], concept["code"])
        for one in SHIPPED
        if one["resourceType"] == "CodeSystem"
        for concept in one["concept"]
    }
    assert published <= known


def test_the_code_systems_hold_every_code_that_the_program_knows():
    assert codes_of("reason") == set(Reason)
    assert codes_of("component") == {*ComponentKey, "no-intercourse"}
    shipped = map(load_protocol, protocol_files())
    assert codes_of("time-point") == {point for one in shipped for point in one.time_points}
    assert codes_of("clavien-dindo") == {
        "none", "I", "II", "IIIa", "III", "IIIb", "IVa", "IV", "IVb", "V",
    }  # fmt: skip
    assert codes_of("category") == {"derived-endpoint"}
    assert codes_of("tag") == {"research-use"}
    assert {"biochemical-failure", "prom-score-iief-5", "prom-change-epic-26-bowel"} <= codes_of(
        "endpoint"
    )
    assert "local-recurrence" in codes_of("concept")


def test_time_points_of_another_protocol_are_there_too():
    protocol = load_protocol()
    later = protocol.time_points["12-months"].model_copy(
        update={"target": 60, "from_": 55, "to": 65}
    )
    other = protocol.model_copy(
        update={"time_points": {**protocol.time_points, "60-months": later}}
    )
    made = by_name(terminology(load_mappings(), other))["CodeSystem/time-point"]
    assert {"code": "60-months", "display": "60 months after the index procedure"} in made[
        "concept"
    ]


def included(resource: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (one["system"], concept["code"])
        for one in resource["compose"]["include"]
        for concept in one.get("concept", ())
    }


def test_a_concept_s_value_set_holds_its_codes_of_all_systems():
    psa = included(by_name(WITH_SITE)["ValueSet/concept-psa"])
    assert psa == {
        ("http://loinc.org", "2857-1"),
        ("http://loinc.org", "35741-8"),
        ("http://loinc.org", "83112-3"),
        ("https://klinikum.example/labor", "PSA"),
        ("https://ziekenhuis.example/lab", "PSA01"),
    }
    assert "Only under conditions: PSA" in by_name(WITH_SITE)["ValueSet/concept-psa"]["description"]
    metastasis = by_name(SHIPPED)["ValueSet/concept-metastasis"]["compose"]["include"]
    filters = [one["filter"][0]["value"] for one in metastasis if "filter" in one]
    assert set(filters) == {"(C77|C78|C79).*"}


def test_a_longer_code_of_another_concept_is_excluded():
    """C77.5 is nodal, and C79.82 may be local: neither is a code of a distant metastasis."""
    metastasis = by_name(SHIPPED)["ValueSet/concept-metastasis"]["compose"]
    patterns = {one["system"]: one["filter"][0]["value"] for one in metastasis["exclude"]}
    included = {one["system"] for one in metastasis["include"] if "filter" in one}
    assert patterns.keys() == included
    for pattern in patterns.values():
        for code in ("C77.5", "C775", "C79.82", "C79.828", "C77.8", "C79.1"):
            assert re.fullmatch(pattern, code), code
        for code in ("C77.4", "C79.5", "C78.00", "C79.8"):
            assert not re.fullmatch(pattern, code), code
    psa = by_name(SHIPPED)["ValueSet/concept-psa"]["compose"]
    assert "exclude" not in psa


@pytest.mark.slow
def test_what_is_withdrawn_is_excluded(tmp_path):
    overlay = tmp_path / "site.yaml"
    overlay.write_text(
        "concepts: {metastasis: {withdraw: ["
        '{system: "http://hl7.org/fhir/sid/icd-10", code: C77.4, descendants: prefix}]}}',
        "utf-8",
    )
    made = by_name(terminology(load_mappings([overlay])))["ValueSet/concept-metastasis"]
    (excluded,) = (
        one
        for one in made["compose"]["exclude"]
        if one["system"] == "http://hl7.org/fhir/sid/icd-10"
    )
    assert re.fullmatch(excluded["filter"][0]["value"], "C77.4")


def elements(resource: dict[str, Any]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    return {
        (group["source"], element["code"]): element["target"]
        for group in resource["group"]
        for element in group["element"]
    }


def test_site_codes_map_to_concepts_under_their_conditions():
    found = elements(by_name(WITH_SITE)["ConceptMap/concept"])
    (psa,) = found["https://klinikum.example/labor", "PSA"]
    assert psa["code"] == "psa"
    assert psa["dependsOn"] == [
        {"property": "http://hl7.org/fhir/Observation#Observation.specimen", "value": "Serum"}
    ]
    cryo = found["http://snomed.info/sct", "26782000"]
    assert {one["dependsOn"][0]["value"] for one in cryo} == {"41216001", "181422007"}
    assert cryo[0]["dependsOn"][0]["property"].endswith("#Procedure.bodySite")
    assert "begins with" in found["http://hl7.org/fhir/sid/icd-10", "C77"][0]["comment"]


def test_a_finding_depends_on_its_value():
    """An M category is a metastasis only where it is M1."""
    found = elements(by_name(SHIPPED)["ConceptMap/concept"])
    category = found["http://loinc.org", "21907-1"]
    assert category
    for target in category:
        assert target["code"] == "metastasis-finding"
        (condition,) = target["dependsOn"]
        assert condition["property"].endswith("#Observation.value")
    described = by_name(SHIPPED)["ValueSet/concept-metastasis-finding"]["description"]
    assert "21907-1" in described.partition("Only under conditions")[2]


def test_grades_of_snomed_ct_map_to_the_scale():
    found = elements(by_name(WITH_SITE)["ConceptMap/grade-clavien-dindo"])
    assert found["http://snomed.info/sct", "1367523008"] == [
        {"code": "IIIb", "equivalence": "equivalent"}
    ]
    assert found["https://ziekenhuis.example/complicaties", "CD-1"][0]["code"] == "I"
    # A scale without codes of other systems has no concept map.
    assert "ConceptMap/grade-sir-2003" not in by_name(WITH_SITE)


def test_no_displays_of_other_code_systems():
    """Codes of other systems have no display, and the displays in overlays are not published."""
    for one in WITH_SITE:
        if one["resourceType"] == "ValueSet":
            for include in one["compose"]["include"]:
                assert all(set(concept) == {"code"} for concept in include.get("concept", ()))
        if one["resourceType"] == "ConceptMap":
            for group in one["group"]:
                assert all(set(element) == {"code", "target"} for element in group["element"])
    text = json.dumps(WITH_SITE, ensure_ascii=False)
    assert "Cryotherapy" not in text
    assert "Kryoablation" not in text


def test_notices_are_on_the_resources_that_use_the_codes():
    shipped = by_name(SHIPPED)
    assert "Regenstrief" in shipped["ValueSet/concept-psa"]["copyright"]
    assert "SNOMED" in shipped["ConceptMap/grade-clavien-dindo"]["copyright"]
    assert "American Medical Association" in shipped["ConceptMap/concept"]["copyright"]
    assert "copyright" not in shipped["ValueSet/yes-no"]


@pytest.fixture
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FHIRCRYO_")]:
        monkeypatch.delenv(name)


@pytest.mark.slow
@pytest.mark.usefixtures("_own_folder")
def test_the_command_writes_the_same_bytes_every_time(tmp_path):
    contents = []
    for name in ("one", "two", "two"):
        done = cli("mappings", "export", "--fhir", name, "--mappings", OVERLAY)
        assert (done.code, done.err) == (0, "")
        paths = sorted(Path(name).iterdir())
        contents.append({path.name: path.read_bytes() for path in paths})
    assert contents[0] == contents[1] == contents[2]
    assert {json.loads(one)["resourceType"] for one in contents[0].values()} == {
        "CodeSystem", "ValueSet", "ConceptMap",
    }  # fmt: skip
    assert len(contents[0]) == len(WITH_SITE)


@pytest.mark.usefixtures("_own_folder")
def test_the_base_is_that_of_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("FHIRCRYO_BASE", "https://h.example/fhir")
    assert cli("mappings", "export", "--fhir", "out").code == 0
    for path in Path("out").iterdir():
        assert json.loads(path.read_text("utf-8"))["url"].startswith("https://h.example/fhir/")
    assert "w3id.org" not in "".join(path.read_text("utf-8") for path in Path("out").iterdir())


@pytest.mark.usefixtures("_own_folder")
def test_a_file_in_place_of_the_folder_is_a_usage_error(tmp_path):
    Path("out").write_text("x", "utf-8")
    done = cli("mappings", "export", "--fhir", "out")
    assert done.code == 2
    assert "out: a file, not a folder" in done.err
