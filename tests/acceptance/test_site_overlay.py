"""The example of a site's own way of recording: nothing without its overlay, everything with it."""

import json
from datetime import date
from pathlib import Path

import pytest
import yaml
from fhir.resources.R4B import get_fhir_model_class

from fhircryo.mapping.load import load_mappings
from fhircryo.runs.in_memory import Outcome, compute_resources
from fhircryo.settings import Settings
from fhircryo.setup.expectations.case import Case
from fhircryo.setup.expectations.case_file import CaseFile, read_cases
from fhircryo.setup.expectations.run_cases import CaseRunner, runner_of

FOLDER = Path(__file__).parents[2] / "examples" / "site-overlay"
EXPORT = FOLDER / "export"
OVERLAY = FOLDER / "site.yaml"
#: The overlay of this example as it was in version 0.1.
FORMER = Path(__file__).parent / "site_overlay_of_version_0_1.yaml"
AS_OF = date(2020, 12, 31)
CASES = read_cases(FOLDER / "cases.yaml", CaseFile[Case]).content.cases


def lines() -> list[bytes]:
    files = sorted(EXPORT.glob("*.ndjson"))
    return [line for path in files for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return compute_resources(lines(), AS_OF, mappings=load_mappings([OVERLAY]))


def runner(*overlays: Path) -> CaseRunner:
    return runner_of(Settings.model_construct(mappings=overlays), FOLDER)


@pytest.fixture(scope="module")
def as_mapped() -> CaseRunner:
    return runner(OVERLAY)


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_endpoints_are_those_worked_out_by_hand(case, as_mapped):
    assert as_mapped.check(case).mismatches == ()


def test_every_endpoint_of_every_patient_of_the_export_is_expected(outcome):
    whole = [case for case in CASES if case.source == "export"]
    assert all(case.complete for case in whole)
    assert {one["subject"]["reference"] for one in outcome.observations} == {
        f"Patient/{case.subject}" for case in whole
    }


def test_what_is_left_is_what_should_be(outcome):
    assert outcome.counted == {
        ("unmapped-code", "Procedure", "https://klinikum.example/ops|5-602.K"): 1,
        ("unmapped-code", "Observation", "https://klinikum.example/labor|PSA"): 1,
        ("unmapped-code", "Condition", "https://ziekenhuis.example/diagnosen|PCA"): 1,
        ("unmapped-code", "MedicationStatement", "http://fhir.de/CodeSystem/bfarm/atc|G04CA02"): 1,
    }
    told = {issue.name: issue.reason for issue in outcome.issues if not issue.used}
    assert told == {}


def test_the_overlay_of_version_0_1_gives_the_same(outcome):
    """A hospital upgrades without changing its overlay, of which the shipped codes repeat some."""
    former = load_mappings([FORMER])
    assert compute_resources(lines(), AS_OF, mappings=former).observations == outcome.observations


def test_without_the_overlay_nobody_is_in_the_cohort():
    assert compute_resources(lines(), AS_OF).observations == []


def test_the_results_say_that_the_protocol_was_changed(outcome):
    words = {one["method"]["text"] for one in outcome.observations}
    assert words == {"bomers-2020 2.0 with psa.detection_limit half"}


def test_the_export_is_fhir():
    for line in lines():
        kind = json.loads(line)["resourceType"]
        get_fhir_model_class(kind).model_validate_json(line)


@pytest.mark.parametrize("section", yaml.safe_load(OVERLAY.read_text("utf-8")))
def test_every_section_of_the_overlay_is_needed(section, tmp_path):
    """Without it, something that was worked out by hand does not come out."""
    content = yaml.safe_load(OVERLAY.read_text("utf-8"))
    del content[section]
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")
    less = runner(path)
    assert any(less.check(case).mismatches for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_every_case_needs_the_overlay(case):
    """But for the one that says what is not mapped."""
    assert bool(runner().check(case).mismatches) is (case.id != "de-kidney")
