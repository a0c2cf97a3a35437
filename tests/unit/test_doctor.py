"""The doctor's checks of this machine and of folders; tests/server has those of servers."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhircryo.cli.main import app
from fhircryo.errors import UsageError
from tests.unit.inputs import folder, procedure
from tests.unit.stub_fhir import StubFhir


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def checked(*arguments: object) -> tuple[int, dict[str, tuple[str, str]]]:
    done = CliRunner().invoke(app, ["doctor", *map(str, arguments), "--json"])
    found = json.loads(done.stdout)
    return done.exit_code, {one["check"]: (one["status"], one["words"]) for one in found}


def test_nothing_is_wrong(tmp_path):
    source = folder(tmp_path / "in", {"Procedure.ndjson": [procedure()]})
    code, checks = checked(source, tmp_path / "out")
    assert code == 0
    assert checks["index procedures"] == ("ok", "of 1 patients")
    assert checks["writable"][0] == "ok"
    assert not (tmp_path / "out").exists()


def test_each_check_is_a_line(tmp_path):
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0
    assert all(line.startswith("ok        here    ") for line in done.stdout.splitlines())


def test_missing_types_and_unreadable_or_skipped_files_are_warnings(tmp_path):
    source = folder(tmp_path / "in", {"Observation.ndjson": ['{"resourceType": "Observat']})
    (source / "notes.xlsx").write_text("")
    code, checks = checked(source)
    assert code == 0
    for check in ("unreadable", "not read", "Condition kept", "index procedures"):
        assert checks[check][0] == "warning"


def test_the_exit_code_of_a_failure_is_that_of_a_run(tmp_path):
    assert checked(tmp_path / "nowhere")[0] == 3
    source = folder(tmp_path / "in", {"Procedure.ndjson": [procedure()]})
    code, checks = checked(source, source)
    assert code == 2
    assert checks["writable"][0] == "failed"


def test_a_state_folder_that_others_can_read(tmp_path):
    (tmp_path / "state").mkdir(mode=0o755)
    assert checked()[1]["state folder"][0] == "warning"


def test_a_state_folder_that_others_can_write(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    code, checks = checked()
    assert (code, checks["state folder"][0]) == (2, "failed")
    assert "every user of this machine can change it" in checks["state folder"][1]


def test_a_state_folder_that_cannot_be_made(tmp_path, monkeypatch):
    Path(tmp_path / "file").write_text("")
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "file" / "state"))
    code, checks = checked()
    assert (code, checks["state folder"][0]) == (2, "failed")


def test_the_servers_of_scheduled_runs_are_those_of_the_settings_file(tmp_path):
    with StubFhir() as source, StubFhir() as target:
        file = tmp_path / "settings.toml"
        file.write_text(f'[sync]\nsource = "{source.base}"\ntarget = "{target.base}"\n')
        done = CliRunner().invoke(app, ["doctor", "--config", str(file)])
        assert "source " in done.stdout
        assert "target " in done.stdout
        assert source.seen
        assert target.seen
    file.write_text('source_name = "urology"\n')
    done = CliRunner().invoke(app, ["doctor", "--config", str(file)])
    assert isinstance(done.exception, UsageError)
    assert "sync.source" in str(done.exception)


def test_a_target_beside_which_nothing_may_be_written(tmp_path, monkeypatch):
    """A run would fail after it has computed everything."""
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    code, checks = checked(tmp_path / "in", tmp_path / "out")
    assert checks["writable"] == ("failed", f"{tmp_path}: this user may not write there")
    assert code == 3  # that of the first failure
