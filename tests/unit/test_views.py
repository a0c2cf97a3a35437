"""The SQL-on-FHIR views, run by a public implementation: rows are those of the cohort's tables."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlonfhir

from fhircryo.mapping.load import load_mappings
from tests.unit import inputs
from tests.unit.inputs import AS_OF, COHORT, cli
from tests.unit.test_cohort import none_for_missing

#: Patients of the example: an interval, complications of several grades, questionnaires.
PATIENTS = ("2441275", "2088461", "2015001")
BASE = "https://w3id.org/fhircryo"


def views(folder: Path, *options: object) -> dict[str, dict[str, Any]]:
    ran = cli("mappings", "views", folder, *options)
    assert ran.code == 0, ran.err
    assert f"4 views written to {folder}" in ran.out
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def worst_grades(view: dict[str, Any], folder: Path) -> dict[tuple[str, str], str]:
    """The worst grade by adverse event and scale, of the codings in a view."""
    scales = load_mappings().scales
    found: dict[tuple[str, str], str] = {}
    for row in run(view, folder):
        scale = scales[row["scale"]]
        grades = {(code.system, code.code): code.grade for code in scale.codes}
        grade = grades.get((row["system"], row["code"]), row["code"])
        key = (f"AdverseEvent/{row['id']}", row["scale"])
        found[key] = max(found.get(key, grade), grade, key=scale.order.index)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("which", ["hospital", "cohort"])
def test_adverse_events_are_those_of_the_table(which, made, request, tmp_path):
    folder = COHORT if which == "cohort" else request.getfixturevalue("hospital")
    events = {
        f"AdverseEvent/{row['id']}": (row["patient"], row["date"] or row["detected"])
        for row in run(made["adverse-events"], folder)
    }
    grades = worst_grades(made["adverse-event-grades"], folder)
    table = none_for_missing(tables(folder, tmp_path / "cohort")["adverse_events"])
    # One of the example lies in a Bundle, and some are known by a grading alone.
    rows = [row for row in table.itertuples() if row.resource in events]
    assert len(rows) >= 2
    compared = 0
    for row in rows:
        patient, day = events[row.resource]
        # The key of an absolute reference, or of one with a version, is the runner's affair.
        if which == "hospital" or patient is not None:
            assert patient.partition("/")[0] == row.patient
        if row.days is not None:
            assert day[:10] == str(row.date_first.date())
        for scale in ("clavien-dindo", "sir-2003", "ctcae-grade"):
            told = getattr(row, scale.replace("-", "_"))
            viewed = grades.get((row.resource, scale))
            # A grade can also stand in an Observation, which is not in the view.
            assert viewed is None or viewed == told or row.resource in graded_elsewhere(folder)
            compared += viewed is not None
    assert compared >= 3


def graded_elsewhere(folder: Path) -> set[str]:
    """The adverse events that Observations grade."""
    found = set()
    for one in resources(folder, "Observation"):
        for reference in (*one.get("focus", ()), *one.get("partOf", ())):
            found.add(reference.get("reference", ""))
    return found


def test_views_have_what_the_standard_asks_for(made):
    for view in made.values():
        assert view["resourceType"] == "ViewDefinition"
        assert view["url"] == f"{BASE}/ViewDefinition/{view['id']}"
        assert view["status"] == "active"
        selected = [one for one in view["select"] if "column" in one]
        selected += [one for part in view["select"] for one in part.get("unionAll", ())[:1]]
        columns = [column for one in selected for column in one["column"]]
        names = [column["name"] for column in columns]
        assert len(set(names)) == len(names)
        for name in (view["name"], *names):
            assert re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name), name
        assert all(column["description"] for column in columns)
    assert "copyright" not in made["endpoints"]
    assert "LOINC" in made["psa"]["copyright"]
    assert "SNOMED" in made["adverse-event-grades"]["copyright"]


def test_expressions_are_of_the_part_that_every_runner_knows(made):
    """No union, no other function: ShareableViewDefinition, "Required FHIRPath"."""
    known = {
        *("where", "exists", "empty", "extension", "ofType", "first"),
        *("not", "getResourceKey", "getReferenceKey"),
    }
    for view in made.values():
        text = re.sub(r"'(?:[^'\\]|\\.)*'", "''", "\n".join(expressions(view)))
        assert set(re.findall(r"(\w+)\(", text)) <= known
        assert not set(text) & set("|$&~%")


def expressions(element: Any) -> Iterator[str]:
    """All paths of a view."""
    if isinstance(element, list):
        for one in element:
            yield from expressions(one)
    elif isinstance(element, dict):
        for name, value in element.items():
            if name in ("path", "forEach", "forEachOrNull"):
                yield value
            else:
                yield from expressions(value)
