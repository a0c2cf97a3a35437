"""What the doctor says of targets of each kind, without writing; the habits are in ``stub_target``.

Nothing is called ok that was not tried, and a refusal is told before a run meets it.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhircryo.cli.main import app
from fhircryo.errors import UsageError
from fhircryo.publish.provenance import device
from fhircryo.publish.shapes import plain
from tests.unit.hospital import Reply, Seen
from tests.unit.stub_target import (
    StubTarget,
    Target,
    conditional_create,
    conditional_update,
    neither,
    own_ids,
)

Checks = dict[str, tuple[str, str]]
BASE = "https://w3id.org/fhircryo"


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
    monkeypatch.setenv("FHIRCRYO_TARGET__RETRY_BUDGET", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def target() -> Iterator[StubTarget]:
    with StubTarget() as found:
        yield found


def checked(target: StubTarget, habits: Target | None = None, *options: str) -> tuple[int, Checks]:
    """The exit code, and by check: the status, and the words with the advice."""
    target.habits = habits or target.habits
    source = Path("in")
    source.mkdir(exist_ok=True)
    (source / "Patient.ndjson").write_text('{"resourceType": "Patient", "id": "p1"}\n')
    done = CliRunner().invoke(app, ["doctor", str(source), target.base, "--json", *options])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert not target.of_type("Observation")
    found = [one for one in json.loads(done.stdout) if one["part"] == "target"]
    return done.exit_code, {
        one["check"]: (one["status"], f"{one['words']}; {one['advice']}") for one in found
    }


def test_before_the_first_run(target):
    code, checks = checked(target)
    assert code == 0
    assert checks["transactions"][0] == "ok"
    for name in ("ids", "Observation", "Device", "Provenance", "search by identifier"):
        assert checks[name][0] == "not tried", checks[name]
    assert "holds no Device/fhircryo, which a run writes first" in checks["ids"][1]
    assert "base URL" not in checks["ids"][1]
    assert target.stored == {}


def test_after_the_first_run(target):
    target.put(plain(device(BASE)))
    _, checks = checked(target)
    assert checks["ids"][0] == "ok"
    assert "nothing can be doubled" in checks["ids"][1]
    assert checks["search by identifier"][0] == "ok"


@pytest.mark.parametrize(
    "habits, words",
    [
        (conditional_update(), "conditional updates"),
        (conditional_create(), "conditional creates"),
        (neither(), "takes no conditions"),
    ],
)
def test_the_kind_of_a_target_that_chooses_the_ids(habits, words, target):
    code, checks = checked(target, habits)
    status, said = checks["ids"]
    assert (code, status) == (0, "warning")
    assert words in said
    assert "one machine" in said


def test_a_search_that_never_finds_is_not_called_ok(target):
    target.put(plain(device(BASE)))
    _, checks = checked(target, neither(finds_identifiers=False))
    status, said = checks["search by identifier"]
    assert status == "not tried"
    assert "ends with 5" in said


@pytest.mark.parametrize(
    "habits, status, words",
    [
        (own_ids(states_transaction=False), "warning", "does not list them"),
        (own_ids(transaction="refused", transaction_refusal=404), "warning", "404"),
        (own_ids(transaction="refused", transaction_refusal=405), "warning", "no transactions"),
        (own_ids(transaction="refused", transaction_refusal=501), "warning", "501"),
        (own_ids(transaction="refused", transaction_refusal=400), "not tried", "400"),
        (own_ids(transaction="refused", transaction_refusal=403), "failed", "403"),
        (own_ids(transaction="batch"), "warning", "batch-response"),
    ],
)
def test_transactions(habits, status, words, target):
    code, checks = checked(target, habits)
    found, said = checks["transactions"]
    assert found == status
    assert words in said
    assert code == (5 if status == "failed" else 0)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("kind", ["Observation", "Device", "Provenance"])
def test_a_type_that_is_refused_is_told_beforehand(kind, status, target):
    code, checks = checked(target, own_ids(refuses={kind: status}))
    found, said = checks[kind]
    assert (code, found) == (5, "failed")
    assert f"{status}" in said
    assert f"{kind} is not taken" in said
    assert ("write.provenance = false" in said) is (kind != "Observation")


def test_405_is_a_refusal_where_a_run_would_create(target):
    assert checked(target, neither(refuses={"Provenance": 405}))[1]["Provenance"][0] == "failed"
    # With our own ids a run updates, which that answer says nothing of.
    status, said = checked(target, own_ids(refuses={"Provenance": 405}))[1]["Provenance"]
    assert (status, "405" in said) == ("not tried", True)


def test_a_refused_type_that_the_statement_leaves_out(target):
    refused = {"Provenance": 403, "Device": 403}
    code, checks = checked(target, own_ids(refuses=refused, states_refusals=True))
    assert code == 0
    assert checks["Provenance"][0] == checks["Device"][0] == "warning"
    _, checks = checked(target, own_ids(refuses={"Observation": 403}, states_refusals=True))
    assert checks["Observation"][0] == "failed"


def test_without_provenance_a_refusal_is_none(target, monkeypatch):
    monkeypatch.setenv("FHIRCRYO_WRITE__PROVENANCE", "false")
    code, checks = checked(target, own_ids(refuses={"Provenance": 403, "Device": 403}))
    assert code == 0
    assert checks["Provenance"][0] == "not tried"
    assert checks["Device"][0] == "warning"


@pytest.mark.parametrize("status", [200, 429, 500, 503])
def test_any_other_answer_is_shown(status, target):
    answer = target._answer

    def odd(seen: Seen) -> Reply:
        return Reply(status, {"resourceType": "Basic"}) if seen.body == b"{}" else answer(seen)

    target.routes._answer = odd
    _, checks = checked(target)
    for kind in ("Observation", "Device", "Provenance"):
        assert checks[kind][0] == "warning"
        assert f"{status}" in checks[kind][1]


def test_no_answer_is_shown(target):
    target.lose = ["lost before"] * 9
    _, checks = checked(target)
    for name in ("transactions", "Observation"):
        status, said = checks[name]
        assert status == "warning"
        assert "cannot be reached" in said


@pytest.mark.parametrize(
    "habits, words",
    [
        (own_ids(), "Device/fhircryo: the server took an id of ours"),
        (conditional_update(), "a second conditional update created no second Device"),
        (conditional_create(), "a second conditional create created no second Device"),
        (neither(), "a search by identifier found what was written"),
        (neither(claims={"conditionalCreate": True}), "a search by identifier found"),
    ],
)
def test_the_device_is_written_if_that_is_asked_for(habits, words, target):
    code, checks = checked(target, habits, "--write-device")
    status, said = checks["Device written"]
    assert (code, status) == (0, "ok")
    assert words in said
    assert checks["Provenance written"][0] == "ok"
    checked(target, habits, "--write-device")
    assert len(target.of_type("Device")) == len(target.of_type("Provenance")) == 1


@pytest.mark.parametrize(
    "habits, words",
    [
        (neither(finds_identifiers=False), "does not find what was written"),
        (own_ids(refuses={"Device": 422}), "write.provenance = false"),
        (own_ids(refuses={"Provenance": 422}), "write.provenance = false"),
    ],
)
def test_what_only_writing_shows(habits, words, target, monkeypatch):
    monkeypatch.setenv("FHIRCRYO_WRITE__INDEX_PATIENCE", "0")
    code, checks = checked(target, habits, "--write-device")
    status, said = checks["trial"]
    assert (code, status) == (5, "failed")
    assert words in said


def test_a_device_is_written_to_a_server_only(tmp_path):
    done = CliRunner().invoke(app, ["doctor", "in", "out", "--write-device"])
    assert isinstance(done.exception, UsageError)
