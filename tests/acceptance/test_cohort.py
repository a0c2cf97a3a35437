"""The example cohort: made as its script says, and computed as it was meant."""

import csv
import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class
from scipy.stats import wilcoxon

from tests.acceptance.paper_table import (
    AS_OF,
    FOLDER,
    PAPER,
    Endpoints,
    compute,
    date_of,
    each,
    read_cohort,
    table,
    value_of,
)

SCRIPT = FOLDER / "make_cohort.py"
TRUTH = Path(__file__).with_name("cohort_truth.csv")
#: Days to event by an implementation of the definitions that shares no code with this one: ``+`` is
#: censored, ``a..b`` an interval.
TIMES = Path(__file__).with_name("cohort_times.csv")
NOT_DATA = {"make_cohort.py", "README.md"}
INSTRUMENTS = ("iciq-ui-sf", "iief-5", "qlq-c30-ql2", "ipss", "ipss-qol")
TIME_POINTS = ("baseline", "6-months", "12-months")
PLAIN_COLUMNS = {
    "technical_success": "technical-success",
    "psa_nadir": "psa-nadir",
    "biochemical_failure": "biochemical-failure",
    "metastasis": "metastasis",
    "local_recurrence": "local-recurrence",
    "disease_free_12_months": "disease-free-12-months",
    "adverse_events": "adverse-event-count",
    "worst_clavien-dindo": "worst-clavien-dindo",
    "worst_sir-2003": "worst-sir",
    "worst_ctcae-grade": "worst-ctcae",
    "major_clavien": "major-complication-clavien",
    "major_sir": "major-complication-sir",
}
DATED = ("biochemical_failure", "metastasis", "local_recurrence")


def run(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def truth():
    with TRUTH.open(newline="", encoding="utf-8") as file:
        return {row["patient"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """What the command line writes for the cohort."""
    target = tmp_path_factory.mktemp("computed") / "out"
    program = Path(sys.executable).with_name("fhircryo")
    done = subprocess.run(
        [program, "compute", FOLDER, target, "--as-of", str(AS_OF)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = (target / "Observation.ndjson").read_text(encoding="utf-8").splitlines()
    return Endpoints(json.loads(line, parse_float=Decimal) for line in lines)


def test_the_script_writes_the_files_that_stand_here(tmp_path):
    assert run(SCRIPT, "--out", tmp_path).returncode == 0
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    standing = {path.name for path in FOLDER.iterdir() if path.is_file()}
    assert standing - NOT_DATA - {".keep"} == set(written)
    for name, content in written.items():
        if not name.endswith(".gz"):  # of those the content is compared: compressors differ
            assert (FOLDER / name).read_bytes() == content, name
    assert run(SCRIPT, "--check").returncode == 0


def test_check_tells_a_changed_file(tmp_path):
    assert run(SCRIPT, "--out", tmp_path).returncode == 0
    with (tmp_path / "Patient.ndjson").open("a", encoding="utf-8") as file:
        file.write("{}\n")
    (tmp_path / "Observation.001.ndjson.gz").unlink()
    done = run(SCRIPT, "--check", "--out", tmp_path)
    assert done.returncode == 1
    assert "Patient.ndjson" in done.stderr
    assert "Observation.001.ndjson.gz" in done.stderr


def test_the_truth_is_the_scripts(tmp_path):
    assert run(SCRIPT, "--truth", tmp_path / "truth.csv").returncode == 0
    assert (tmp_path / "truth.csv").read_bytes() == TRUTH.read_bytes()


def test_the_paper_table(computed):
    assert table(computed) == PAPER


def test_the_tests_of_the_questionnaires(computed):
    changes = {
        name: computed.numbers(f"prom-change-{name}", "12-months")
        for name in ("iciq-ui-sf", "iief-5", "qlq-c30-ql2")
    }
    assert all(40 <= len(found) <= 50 for found in changes.values())
    p = {name: wilcoxon(found).pvalue for name, found in changes.items()}
    assert sum(changes["iciq-ui-sf"]) > 0
    assert p["iciq-ui-sf"] < 0.001
    assert sum(changes["iief-5"]) < 0
    assert 0.0005 <= p["iief-5"] < 0.0015
    assert p["qlq-c30-ql2"] >= 0.05


def test_five_men_cannot_be_evaluated_each_for_a_reason_of_his_own(computed):
    found = map(value_of, computed.of("disease-free-12-months").values())
    reasons = sorted(value for value in found if value not in ("Y", "N"))
    assert reasons == [
        "imprecise-date",
        "insufficient-psa",
        "landmark-not-reached",
        "metastatic-at-baseline",
        "no-psa-response",
    ]


def test_every_complication_that_counts_is_graded_on_both_scales(computed):
    for code in ("major-complication-clavien", "major-complication-sir"):
        values = {value_of(one) for one in computed.of(code).values()}
        assert values == {"Y", "N"}


@pytest.mark.parametrize("column", PLAIN_COLUMNS)
def test_each_man_has_the_endpoint_that_was_meant(column, computed, truth):
    found = computed.of(PLAIN_COLUMNS[column])
    assert found.keys() == truth.keys()
    values = {patient: value_of(one) for patient, one in found.items()}
    assert values == {patient: row[column] for patient, row in truth.items()}


@pytest.mark.parametrize("column", DATED)
def test_each_event_has_the_date_that_was_meant(column, computed, truth):
    found = computed.of(PLAIN_COLUMNS[column])
    dates = {
        patient: date_of(found[patient]) for patient, row in truth.items() if row[column] == "Y"
    }
    assert dates
    assert dates == {patient: truth[patient][f"{column}_date"] for patient in dates}


def days_to_event(observation):
    """A time as ``cohort_times.csv`` writes it."""
    if "dataAbsentReason" in observation:
        return value_of(observation)
    (event,) = (
        component["valueCodeableConcept"]["coding"][0]["code"]
        for component in observation["component"]
        if component["code"]["coding"][0]["code"] == "event"
    )
    if "valueRange" in observation:
        limits = observation["valueRange"]
        days = f"{limits['low']['value']}..{limits['high']['value']}"
    else:
        days = str(observation["valueQuantity"]["value"])
    return days + ("" if event == "Y" else "+")


def test_each_man_has_the_times_of_an_independent_implementation(computed):
    with TIMES.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == PAPER.patients
    for row in rows:
        patient = row.pop("patient")
        found = {code: days_to_event(computed.of(code)[patient]) for code in row}
        assert found == row, patient


@pytest.mark.parametrize("time_point", TIME_POINTS)
@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_each_man_has_the_score_that_was_meant(instrument, time_point, computed, truth):
    found = computed.of(f"prom-score-{instrument}", time_point)
    values = {patient: value_of(found.get(patient)) for patient in truth}
    meant = {patient: row[f"{instrument}_{time_point}"] for patient, row in truth.items()}
    assert values == meant
    assert found.keys() <= truth.keys()


def test_memory_and_command_line_agree(computed):
    in_memory = compute(read_cohort())
    assert table(in_memory) == table(computed)


def test_the_readme_tells_of_men_of_the_cohort(truth):
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\d{7}) \|", text, re.MULTILINE)
    assert len(told) > 20
    assert set(told) <= truth.keys()


def test_every_resource_is_fhir():
    for resource in each(read_cohort()):
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
