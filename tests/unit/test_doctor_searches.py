"""The doctor tries the searches that a run makes; what it did not try it does not call ok."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhircryo.cli.main import app
from tests.unit import inputs
from tests.unit.hospital import Reply, Seen
from tests.unit.stub_fhir import StubFhir

RECORD = [
    inputs.patient("p1"),
    inputs.procedure("x1"),
    inputs.psa("a1", "2016-03-01", 0.4),
    inputs.condition("c1", "2016-03-01"),
]

Checks = dict[str, tuple[str, str]]
#: Answers of a server in place of its own, and None for its own.
Instead = Callable[[Seen], Reply | None]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubFhir]:
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
    monkeypatch.setenv("FHIRCRYO_SOURCE__RETRY_BUDGET", "1")
    monkeypatch.chdir(tmp_path)
    with StubFhir(*RECORD) as found:
        yield found


def checked(server: StubFhir, instead: Instead = lambda _: None) -> tuple[int, Checks]:
    answer = server._answer
    server.routes._answer = lambda seen: instead(seen) or answer(seen)
    done = CliRunner().invoke(app, ["doctor", server.base, "--json"])
    found = [one for one in json.loads(done.stdout) if one["part"] == "source"]
    return done.exit_code, {one["check"]: (one["status"], one["words"]) for one in found}


def _refusing(path: str, parameter: bytes, status: int) -> Instead:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "not for you"}]}

    def instead(seen: Seen) -> Reply | None:
        return Reply(status, outcome) if path in seen.path and parameter in seen.body else None

    return instead


def test_searches_are_made_for_a_patient_of_the_cohort(server):
    code, checks = checked(server)
    assert code == 0
    status, words = checks["Condition?patient|subject"]
    assert (status, words) == ("ok", "answered a search by patient")
    assert {"patient": "p1", "_count": "1"}.items() <= server.searches("Condition")[0].items()
    assert checks["Observation?code"] == ("ok", "answered a search by patient and code")
    assert checks["Patient?link"][0] == "ok"
    status, words = checks["Medication?_id"]
    assert status == "not tried"
    assert "a Medication is needed: the server returns none" in words


@pytest.mark.parametrize(
    "path, parameter, status, check, expected, exit_code",
    [
        ("/Condition", b"patient", 400, "Condition?patient|subject", "warning", 0),
        ("/Condition", b"patient", 403, "Condition?patient|subject", "warning", 0),
        ("/Observation", b"patient", 403, "Observation?patient|subject", "failed", 3),
        ("/Patient", b"link", 422, "Patient?link", "warning", 0),
    ],
)
def test_a_refusal_of_what_the_statement_lists_is_shown(
    path, parameter, status, check, expected, exit_code, server
):
    code, checks = checked(server, _refusing(path, parameter, status))
    found, words = checks[check]
    assert (code, found) == (exit_code, expected)
    assert f"{status}" in words
    assert "not for you" in words


def test_without_a_patient_nothing_is_called_ok(server):
    server.stored.clear()
    _, checks = checked(server)
    for check in ("Patient?_id", "Patient?link", "Observation?code", "Condition?patient|subject"):
        status, words = checks[check]
        assert status == "not tried"
        assert "a Patient is needed: the server returns none" in words


def test_an_answer_that_is_no_fhir_is_a_failure_and_the_doctor_goes_on(server):
    def html(seen: Seen) -> Reply | None:
        page = Reply(200, b"<html>", {"Content-Type": "text/html"})
        return page if "/Observation" in seen.path else None

    code, checks = checked(server, html)
    assert (code, checks["PSA results"][0]) == (3, "failed")
    assert "clock of the data" in checks
