"""``fhircryo mappings test``: a site's cases, the messages of failures, and the exit codes."""

import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fhircryo.cli.main import app
from fhircryo.errors import FhircryoError, SourceError, UsageError

OVERLAY = {
    "concepts": {
        "psa": {"codes": [{"system": "https://lab.example", "code": "PSAT", "verified": "here"}]}
    }
}
CASE: dict[str, Any] = {
    "id": "lab",
    "say": "The laboratory's code is PSA",
    "psa": ["2016-04-10 0.4 ng/mL code={lab}"],
    "expect": {"psa-nadir": "0.4 2016-04-10"},
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("site.yaml").write_text(yaml.safe_dump(OVERLAY), "utf-8")
    return tmp_path


def run(*cases: dict[str, Any], options: tuple[str, ...] = ("--mappings", "site.yaml")) -> str:
    """What is printed; an error that the user can correct is raised."""
    content = {"codes": {"lab": "https://lab.example|PSAT"}, "cases": list(map(deepcopy, cases))}
    Path("cases.yaml").write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    ran = CliRunner().invoke(app, ["mappings", "test", "cases.yaml", *options])
    if isinstance(ran.exception, FhircryoError):
        ran.exception.add_note(ran.output)
        raise ran.exception
    assert ran.exit_code == 0, ran.output
    return ran.output


def failure(*cases: dict[str, Any], options: tuple[str, ...] = ()) -> str:
    with pytest.raises(UsageError, match="failed") as raised:
        run(*cases, options=options)
    return f"{raised.value.__notes__[0]}{raised.value}"


def test_a_case_that_gives_what_is_expected(folder):
    assert run(CASE) == "1 cases: all as expected\n"


def test_a_failure_says_what_was_expected_what_was_found_and_why(folder):
    assert failure(CASE).splitlines() == [
        "FAILED lab: The laboratory's code is PSA (cases.yaml:4)",
        "  psa-nadir",
        "    expected  0.4 2016-04-10",
        "    found     absent unknown too-few-psa 2016-01-10..",
        "  not used",
        "    1 x Observation: unmapped-code https://lab.example|PSAT",
        "1 of 1 cases failed; correct the overlay, or the case where the expectation is wrong",
    ]


def test_the_overlays_of_the_settings_are_used(folder):
    Path("fhircryo.toml").write_text('mappings = ["site.yaml"]\nbase = "https://h.example"\n')
    assert "all as expected" in run(CASE, options=())


def test_only_the_case_that_is_named(folder):
    wrong = CASE | {"id": "wrong", "expect": {"psa-nadir": "0.5"}}
    assert run(CASE, wrong, options=("--mappings", "site.yaml", "--case", "lab"))
    assert "2 cases" in failure(CASE, wrong).splitlines()[-1]
    with pytest.raises(UsageError, match="--case labb: no such case"):
        run(CASE, options=("--case", "labb"))


def test_a_complete_case_has_no_other_endpoints(folder):
    words = failure(CASE | {"complete": True}, options=("--mappings", "site.yaml"))
    assert "  metastasis\n    expected  -\n    found     N" in words
    assert "psa-nadir" not in words


@pytest.mark.slow
def test_a_characteristic_and_a_reason(folder):
    case = CASE | {
        "psa": ["2015-12-10 4 ng/mL code={lab}", "2016-04-10 0.4 mg code={lab}"],
        "expect": {},
        "characteristics": {"psa": "4 2015-12-10"},
        "reasons": {"Observation/b": "unit"},
    }
    assert run(case)
    words = failure(
        case | {"characteristics": {"psa": "5"}, "reasons": {"Observation/a": "status"}}
    )
    assert "  psa\n    expected  5\n" in words
    assert "  Observation/a\n    expected  status\n    found     -\n" in words


def test_a_folder_is_the_source_of_a_case(folder):
    """It is beside the file of cases, wherever the command is run."""
    Path("export").mkdir()
    lines = (
        '{"resourceType":"Procedure","id":"x","status":"completed","subject":{"reference":'
        '"Patient/7"},"performedDateTime":"2016-01-10","code":{"coding":[{"system":'
        '"http://www.ama-assn.org/go/cpt","code":"55873"}]}}',
        "not JSON",
    )
    case = {
        "id": "whole",
        "say": "One man",
        "source": "export",
        "subject": "7",
        "expect": {"technical-success": "Y"},
    }
    Path("export/Procedure.ndjson").write_text(lines[0], "utf-8")
    assert run(case)
    Path("export/Procedure.ndjson").write_text("\n".join(lines), "utf-8")
    ran = CliRunner().invoke(app, ["mappings", "test", "cases.yaml"])
    assert (ran.exit_code, "unreadable" in ran.output) == (4, True)
    with pytest.raises(SourceError):
        run(case | {"source": "nowhere"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"psa": ["2016-04-10"]}, r"cases.yaml:4: lab: psa: .* a word is missing"),
        ({"psa": ["2016-04-10 1 ng/mL code={lba}"]}, r"'{lba}': no such name of a code"),
        ({"as_of": 2017}, r"cases.yaml:\d+: cases.0.as_of: "),
        ({"as_of": "2017-02-30"}, r"cases.yaml:\d+: cases.0.as_of: .* is not a date"),
        ({"as_of": ["2017"]}, r"cases.yaml:\d+: cases.0.as_of: "),
        ({"psas": []}, r"cases.yaml:\d+: cases.0.psas: unknown key; did you mean psa"),
        ({"expect": {"psa-nadr": "1"}}, "psa-nadr: no such endpoint; did you mean psa-nadir"),
        ({"expect": {"psa-nadir": "absent unknown few"}}, "no such reason"),
        ({"expect": {"psa-nadir": ""}}, "an expectation is empty"),
        ({"expect": {}}, "nothing is expected"),
        ({"expect": {"psa-nadir": True}}, "expect.psa-nadir"),
        ({"characteristics": {"pas": "1"}}, "pas: no such characteristic; did you mean psa"),
        ({"reasons": {"Observation/a": "unmaped-code"}}, "did you mean unmapped-code"),
        ({"source": "export"}, "a case with source has no facts of its own: psa"),
        ({"as_of": "2016"}, "cases.0.as_of: '2016' is not a date"),
        ({"death": 2016}, "cases.0.death"),
    ],
)
def test_a_slip_is_told_with_its_place(changed, words, folder):
    with pytest.raises(UsageError, match=words):
        run(CASE | changed)


def test_two_cases_of_one_id(folder):
    with pytest.raises(UsageError, match=r"cases.yaml:\d+: lab: also the id of cases.yaml:4"):
        run(CASE, CASE)


@pytest.mark.slow
def test_the_command_ends_with_2_where_a_case_failed(folder):
    """A mapping that is wrong is an error that the user can correct."""
    with pytest.raises(UsageError):
        run(CASE, options=())
    command = [sys.executable, "-m", "fhircryo", "mappings", "test", "cases.yaml"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stdout.startswith("FAILED lab")
    assert ran.stderr.startswith("fhircryo: 1 of 1 cases failed")
