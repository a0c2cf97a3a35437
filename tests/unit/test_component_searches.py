"""PSA results and findings that stand only in components, on servers that search them or do not."""

import json
import logging
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fhircryo.fhir.capability import Capabilities
from fhircryo.mapping.load import load_mappings
from fhircryo.sources.bulk_source import asked_for
from fhircryo.sources.code_searches import ComponentSearch, observation_searches
from tests.unit import inputs
from tests.unit.hospital import Reply, Seen, Stub
from tests.unit.inputs import Resource, cli

SNOMED = "http://snomed.info/sct"
MII_METASTASES = (
    "https://www.medizininformatik-initiative.de/fhir/ext/modul-onko/CodeSystem/"
    "mii-cs-onko-verlauf-fernmetastasen"
)
UNKNOWN, SEPARATELY = ("_id", "patient", "code"), ("_id", "patient", "code", "component-code")
TOGETHER = (*SEPARATELY, "combo-code")

#: A man whose failure and metastasis stand in components only.
RESOURCES = [
    inputs.patient("p1"),
    inputs.procedure("x1", "2016-01-10"),
    inputs.psa("a1", "2016-03-01", 0.4),
    inputs.psa("a2", "2016-12-10", 0.5),
    inputs.lab("panel", effectiveDateTime="2016-06-01")
    | {
        "component": [
            {
                "code": inputs.concept("http://loinc.org", "2857-1"),
                "valueQuantity": {"value": 9, "unit": "ng/mL"},
            }
        ]
    },
    inputs.lab("course", code=inputs.concept(SNOMED, "396432002"), effectiveDateTime="2016-07-01")
    | {
        "component": [
            {
                "code": inputs.concept(SNOMED, "399608002"),
                "valueCodeableConcept": inputs.concept(MII_METASTASES, "R"),
            }
        ]
    },
    inputs.condition("c1", "2012-01-01", code=inputs.concept(SNOMED, "399068003")),
]


class SearchServer(Stub):
    """Searches ``RESOURCES``; ``listed``: the parameters of Observation that it states.

    ``refused``: parameters that it answers with 400. ``searches``: those for Observations.
    """

    def __init__(self, listed: Iterable[str], refused: Iterable[str] = ()) -> None:
        super().__init__()
        self.base = f"{self.origin}/fhir"
        self.refused = frozenset(refused)
        self.searches: list[dict[str, str]] = []
        parameters = {"Observation": listed, "Procedure": ("code", "patient")}
        kinds = ("Patient", "Procedure", "Observation", "Condition")
        resources = [
            {"type": kind, "searchParam": [{"name": one} for one in parameters.get(kind, ())]}
            for kind in kinds
        ]
        statement = {
            "resourceType": "CapabilityStatement",
            "fhirVersion": "4.0.1",
            "rest": [{"mode": "server", "resource": resources}],
        }
        self.routes["/fhir/metadata"] = lambda _: Reply(content=statement)
        for kind in kinds:
            self.routes[f"/fhir/{kind}/_search"] = self._search

    def _search(self, seen: Seen) -> Reply:
        kind = urlsplit(seen.path).path.split("/")[2]
        asked = seen.form
        if kind == "Observation":
            self.searches.append(asked)
        if self.refused.intersection(asked):
            return Reply(400, {"resourceType": "OperationOutcome"})
        found = [
            {"resource": one}
            for one in RESOURCES
            if one["resourceType"] == kind and _matches(one, asked)
        ]
        bundle = {"resourceType": "Bundle", "type": "searchset", "entry": found}
        return Reply(content={**bundle, "total": len(found)})


def _codes(*places: Resource) -> set[str]:
    return {
        f"{coding['system']}|{coding['code']}"
        for place in places
        for coding in place["code"]["coding"]
    }


def _matches(resource: Resource, asked: dict[str, str]) -> bool:
    components = resource.get("component", [])
    codes = {
        "code": lambda: _codes(resource),
        "component-code": lambda: _codes(*components),
        "combo-code": lambda: _codes(resource, *components),
    }
    return all(
        not codes[name]().isdisjoint(value.split(","))
        for name, value in asked.items()
        if name in codes
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FHIRCRYO_SOURCE__RETRY_BUDGET", "1")
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))


def stated(target: Path) -> dict[str, Any]:
    """The answers, and the dates, of biochemical failure and metastasis."""
    found = {}
    for line in (target / "Observation.ndjson").read_bytes().splitlines():
        one = json.loads(line)
        name = one["code"]["coding"][0]["code"]
        if name in ("biochemical-failure", "metastasis") and "valueCodeableConcept" in one:
            answer = one["valueCodeableConcept"]["coding"][0]["code"]
            found[name] = (answer, one.get("effectiveDateTime") if answer == "Y" else None)
    return found


EVENTS = {"biochemical-failure": ("Y", "2016-06-01"), "metastasis": ("Y", "2016-07-01")}


def compute(server: SearchServer, target: Path) -> tuple[dict[str, Any], list[set[str]]]:
    """What is published, and the code parameters of each search by patient that is not a trial."""
    ran = cli("compute", server.base, target, "--as-of", date(2017, 12, 31))
    assert ran.code == 0, ran.err
    by_patient = [one for one in server.searches if "patient" in one and one["_count"] != "1"]
    beside = {"patient", "_count", "_total"}
    return stated(target), [set(one) - beside for one in by_patient]


def test_a_folder_of_the_same(tmp_path):
    source = inputs.folder(tmp_path / "in", {"all.ndjson": RESOURCES})
    inputs.compute(source, tmp_path / "out")
    assert stated(tmp_path / "out") == EVENTS


def test_combo_code_where_it_is_listed(tmp_path, caplog):
    with SearchServer(TOGETHER) as server:
        assert compute(server, tmp_path / "out") == (EVENTS, [{"combo-code"}])
    assert "component" not in caplog.text


@pytest.mark.parametrize("listed, refused", [(SEPARATELY, ()), (TOGETHER, ("combo-code",))])
def test_a_second_search_by_component_code(listed, refused, tmp_path):
    """An Observation that both searches find counts once."""
    with SearchServer(listed, refused) as server:
        found, searches = compute(server, tmp_path / "out")
    assert found == EVENTS
    assert searches == [{"code"}, {"component-code"}]


@pytest.mark.parametrize(
    "listed, refused", [(UNKNOWN, ()), (TOGETHER, ("combo-code", "component-code"))]
)
def test_what_is_not_found_is_told_once(listed, refused, tmp_path, caplog):
    with caplog.at_level(logging.WARNING), SearchServer(listed, refused) as server:
        found, searches = compute(server, tmp_path / "out")
    assert found["metastasis"] == ("N", None)
    assert searches == [{"code"}]
    assert caplog.text.count("stands only in a component is not found") == 1


@pytest.mark.parametrize(
    "listed, refused, check, status",
    [
        (TOGETHER, (), "Observation?combo-code|component-code", "ok"),
        (UNKNOWN, (), "Observation?combo-code|component-code", "warning"),
        (TOGETHER, ("combo-code",), "codes of components", "ok"),
        (TOGETHER, ("combo-code", "component-code"), "codes of components", "warning"),
    ],
)
def test_the_doctor_says_so(listed, refused, check, status):
    with SearchServer(listed, refused) as server:
        ran = cli("doctor", server.base, "--json")
    told = {one["check"]: one for one in json.loads(ran.out) if one["part"] == "source"}
    assert told[check]["status"] == status
    assert told["PSA results"]["status"] == "ok"
    if status == "warning":
        assert "only in a component" in told[check]["advice"]


def test_only_what_a_component_can_state_is_searched_in_components():
    searches = observation_searches(load_mappings(), ComponentSearch.SEPARATE)
    (codes,) = (one["component-code"] for one in searches if "component-code" in one)
    tokens = codes.split(",")
    assert {"http://loinc.org|2857-1", f"{SNOMED}|399608002"} < set(tokens)
    assert "http://loinc.org|69453-9" not in tokens  # cause of death
    assert len(tokens) == len(set(tokens))


@pytest.mark.parametrize(
    "listed, filtered",
    [(TOGETHER, {"combo-code"}), (SEPARATELY, {"code", "component-code"}), (UNKNOWN, {"code"})],
)
def test_an_export_is_filtered_in_the_same_way(listed, filtered):
    can = Capabilities("4.0.1", {"Observation": frozenset(listed)}, {}, True, True, True, True)
    filters = asked_for("system", load_mappings(), can).filters
    assert {one.removeprefix("Observation?").partition("=")[0] for one in filters} == filtered
