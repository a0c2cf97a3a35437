"""The SQL-on-FHIR views, run by a public implementation: rows are those of the cohort's tables."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlonfhir

from tests.unit import inputs
from tests.unit.inputs import AS_OF, COHORT, cli
from tests.unit.test_cohort import none_for_missing

#: Patients of the example: an interval, complications of several grades, questionnaires.
PATIENTS = ("2441275", "2088461", "2015001")
BASE = "https://w3id.org/fhircryo"


def views(folder: Path, *options: object) -> dict[str, dict[str, Any]]:
    ran = cli("mappings", "views", folder, *options)
    assert ran.code == 0, ran.err
    assert f"3 views written to {folder}" in ran.out
    found = [json.loads(path.read_text("utf-8")) for path in folder.iterdir()]
    return {view["id"]: view for view in found}


def resources(folder: Path, kind: str) -> list[dict[str, Any]]:
    found = []
    for path in sorted(folder.glob("*.ndjson")):
        found += [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [one for one in found if one["resourceType"] == kind]


def run(view: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    # It changes the view that it is given.
    copied = json.loads(json.dumps(view))
    found: list[dict[str, Any]] = sqlonfhir.evaluate(resources(folder, view["resource"]), copied)
    return found


def tables(source: Path, target: Path, *options: object) -> dict[str, pd.DataFrame]:
    ran = cli(
        *("cohort", source, target, "--as-of", AS_OF, "--identified", "--yes", "--no-report"),
        *("--format", "parquet", *options),
    )
    assert ran.code == 0, ran.err
    return {path.stem: pd.read_parquet(path) for path in target.glob("*.parquet")}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, dict[str, Any]]:
    return views(tmp_path_factory.mktemp("views") / "out")


def test_published_endpoints_are_those_of_the_table(made, tmp_path):
    asked = tmp_path / "patients.txt"
    asked.write_text("\n".join(PATIENTS))
    target = tmp_path / "computed"
    ran = cli("compute", COHORT, target, "--as-of", AS_OF, "--patients", asked)
    assert ran.code == 0, ran.err
    found = {
        (row["patient"], row["endpoint"], row["time_point"] or "follow-up"): row
        for row in run(made["endpoints"], target)
    }
    endpoints = tables(COHORT, tmp_path / "cohort", "--patients", asked)["endpoints"]
    rows = list(none_for_missing(endpoints).itertuples())
    assert {row.patient for row in rows} == set(PATIENTS)
    assert set(found) == {(row.patient, row.endpoint, row.time_point) for row in rows}
    for row in rows:
        view = found[row.patient, row.endpoint, row.time_point]
        numbers = (view[name] for name in ("number", "low", "count"))
        number = next((float(one) for one in numbers if one is not None), None)
        # Published scores have two decimals.
        assert number == (
            row.number if row.number is None else pytest.approx(row.number, abs=0.005)
        )
        assert view["high"] == row.high
        assert (view["answer"] or view["grade"]) == (row.value if number is None else None)
        event = {None: None, "Y": True, "N": False}[view["event"]]
        assert (view["comparator"], event) == (row.comparator, row.event)
        assert (view["absent"], view["reason"]) == (row.absent, row.reason)
        assert view["status"] == row.status
        if row.number is not None and view["number"] is not None:
            assert view["unit"] == row.unit
        first = view["date"] or view["date_first"]
        last = view["date"] or view["date_last"]
        assert row.date_first == pd.Timestamp(first)
        assert row.date_last == (pd.Timestamp(last) if last else row.date_last)
    assert any(view["high"] is not None for view in found.values())
    assert any(view["grade"] == "IIIb" for view in found.values())


@pytest.fixture
def hospital(tmp_path) -> Path:
    """Results that are used, and some that are not; adverse events with grades of two systems."""
    free = {"code": inputs.concept("http://loinc.org", "10886-0")}
    local = {"code": inputs.concept("urn:lab", "PSA")}
    graded = {
        "severity": inputs.concept("http://snomed.info/sct", "1367523008"),
        "category": [inputs.concept(f"{BASE}/CodeSystem/sir-2003", "D")],
    }
    logical = inputs.psa("logical", "2016-02-01", 1, of=None)
    logical["subject"] = {"identifier": {"system": "urn:id", "value": "7"}}
    return inputs.folder(
        tmp_path / "in",
        {
            "Patient.ndjson": [inputs.patient("p1"), inputs.patient("p2")],
            "Procedure.ndjson": [
                inputs.procedure("x1", "2016-01-10"),
                inputs.procedure("x2", "2016-01-10", "p2"),
            ],
            "Observation.ndjson": [
                inputs.psa("a", "2016-01-01", 7.5),
                inputs.psa("b", "2016-03-01", 0.4),
                inputs.psa("c", "2016-09-01T10:00:00+02:00", 0.1, status="corrected"),
                inputs.psa("d", "2016-03-01", 0.5, "p2", **local),
                inputs.psa("not-final", "2016-04-01", 9, status="preliminary"),
                inputs.psa("free", "2016-04-01", 9, **free),
                inputs.lab("other"),
                logical,
            ],
            "AdverseEvent.ndjson": [
                inputs.adverse_event("e1", "2016-02-01"),
                inputs.adverse_event("e2", "2016-02-02", "p2", **graded),
            ],
        },
    )


def overlay(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(
        "concepts:\n  psa:\n    codes:\n      - {system: urn:lab, code: PSA, verified: here}\n"
    )
    return path


def test_psa_results_are_those_of_the_table(hospital, tmp_path):
    site = overlay(tmp_path)
    view = views(tmp_path / "views", "--mappings", site)["psa"]
    rows = {row["id"]: row for row in run(view, hospital)}
    logical = rows.pop("logical")
    assert (logical["patient"], logical["patient_identifier"]) == (None, "7")
    psa = tables(hospital, tmp_path / "cohort", "--mappings", site)["psa"]
    found = {
        (
            row["patient"],
            f"Observation/{row['id']}",
            row["date"][:10],
            float(row["value"]),
            row["unit"],
        )
        for row in rows.values()
    }
    assert found == {
        (row.patient, row.resource, str(row.date.date()), row.psa, "ng/mL")
        for row in psa.itertuples()
    }
    assert len(found) == 4


def test_without_an_overlay_its_codes_are_in_no_view(made, hospital):
    assert {row["id"] for row in run(made["psa"], hospital)} == {"a", "b", "c", "logical"}


def test_adverse_events_are_those_of_the_table(made, hospital, tmp_path):
    snomed = {"1367523008": "IIIb", None: None}
    found = {
        (
            row["patient"],
            f"AdverseEvent/{row['id']}",
            row["date"],
            row["clavien_dindo"] or snomed[row["clavien_dindo_code"]],
            row["sir_2003"],
        )
        for row in run(made["adverse-events"], hospital)
    }
    table = none_for_missing(tables(hospital, tmp_path / "cohort")["adverse_events"])
    assert found == {
        (row.patient, row.resource, str(row.date_first.date()), row.clavien_dindo, row.sir_2003)
        for row in table.itertuples()
    }
    assert {grades[3:] for grades in found} == {("II", None), ("IIIb", "D")}


def test_views_have_what_the_standard_asks_for(made):
    for view in made.values():
        assert view["resourceType"] == "ViewDefinition"
        assert view["url"] == f"{BASE}/ViewDefinition/{view['id']}"
        assert view["status"] == "active"
        columns = [column for one in view["select"] for column in one["column"]]
        names = [column["name"] for column in columns]
        assert len(set(names)) == len(names)
        for name in (view["name"], *names):
            assert re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name), name
        assert all(column["description"] for column in columns)
