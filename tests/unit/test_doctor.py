"""What the doctor says of this machine and of folders; servers have tests of their own."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhircryo.cli.main import app
from tests.unit.inputs import folder, procedure


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def told(*arguments: object) -> tuple[int, dict[str, tuple[str, str]]]:
    done = CliRunner().invoke(app, ["doctor", *map(str, arguments), "--json"])
    found = json.loads(done.stdout)
    return done.exit_code, {one["check"]: (one["status"], one["words"]) for one in found}


def test_all_well(tmp_path):
    source = folder(tmp_path / "in", {"Procedure.ndjson": [procedure()]})
    code, checks = told(source, tmp_path / "out")
    assert code == 0
    assert checks["index procedures"] == ("ok", "of 1 patients")
    assert checks["writable"][0] == "ok"
    assert not (tmp_path / "out").exists()


def test_lines_for_people(tmp_path):
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0
    assert all(line.startswith("ok       here    ") for line in done.stdout.splitlines())


def test_what_is_lacking_broken_or_passed_over_is_a_warning(tmp_path):
    source = folder(tmp_path / "in", {"Observation.ndjson": ['{"resourceType": "Observat']})
    (source / "notes.xlsx").write_text("")
    code, checks = told(source)
    assert code == 0
    for check in ("unreadable", "not read", "Condition kept", "index procedures"):
        assert checks[check][0] == "warning"


def test_a_failure_ends_with_the_code_of_a_run(tmp_path):
    assert told(tmp_path / "nowhere")[0] == 3
    source = folder(tmp_path / "in", {"Procedure.ndjson": [procedure()]})
    code, checks = told(source, source)
    assert code == 2
    assert checks["writable"][0] == "failed"


def test_a_state_folder_that_others_can_read(tmp_path):
    (tmp_path / "state").mkdir(mode=0o755)
    assert told()[1]["state folder"][0] == "warning"


def test_a_state_folder_that_cannot_be_made(tmp_path, monkeypatch):
    Path(tmp_path / "file").write_text("")
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "file" / "state"))
    code, checks = told()
    assert (code, checks["state folder"][0]) == (2, "failed")
