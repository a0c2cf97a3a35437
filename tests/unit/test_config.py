"""The settings on the command line: in force and where from; the commented file; states."""

import errno
import os
import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhircryo.cli.main import app
from fhircryo.errors import UsageError
from fhircryo.settings import commented_settings, load_settings, settings_in_force
from tests.unit import inputs


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))


def cli(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_each_setting_says_where_it_comes_from(monkeypatch):
    Path("fhircryo.toml").write_text(
        'timezone = "Europe/Amsterdam"\n[sync]\nsource = "https://fhir.example/r4"\noverlap = 60\n'
    )
    monkeypatch.setenv("FHIRCRYO_SYNC__OVERLAP", "90")
    found = {one.name: (one.value, one.origin) for one in settings_in_force()}
    assert found["timezone"] == ('"Europe/Amsterdam"', "fhircryo.toml")
    assert found["sync.overlap"] == ("90.0", "FHIRCRYO_SYNC__OVERLAP")
    assert found["sync.source"][1] == "fhircryo.toml"
    assert found["sync.full_every_days"] == ("7", "default")


def test_another_file_by_name(tmp_path):
    (tmp_path / "other.toml").write_text('source_name = "annexe"\n')
    assert load_settings(tmp_path / "other.toml").source_name == "annexe"
    assert load_settings().source_name == ""
    with pytest.raises(UsageError, match="no such settings file"):
        load_settings(tmp_path / "nowhere.toml")


def test_a_token_command_is_a_list(monkeypatch):
    Path("fhircryo.toml").write_text('[source]\ntoken_command = "give-token; rm -r /"\n')
    with pytest.raises(UsageError, match=r"source\.token_command: .*each argument as an item of a"):
        load_settings()
    Path("fhircryo.toml").write_text('[source]\ntoken_command = ["give-token", "--now"]\n')
    assert load_settings().source.token_command == ("give-token", "--now")
    variable = "FHIRCRYO_TARGET__TOKEN_COMMAND"
    for text in ("give-token --now", '"give-token --now"', '{"give-token": 1}'):
        monkeypatch.setenv(variable, text)
        with pytest.raises(UsageError, match=f"{variable}: write a list as JSON") as caught:
            load_settings()
        assert "give-token" not in str(caught.value)
    monkeypatch.setenv(variable, '["give-token", "--now"]')
    found = load_settings()
    assert found.target is not None
    assert found.target.token_command == ("give-token", "--now")


def test_what_may_be_secret_is_masked(monkeypatch):
    Path("fhircryo.toml").write_text('[source.headers]\nX-Api-Key = "hush-hush"\n')
    monkeypatch.setenv("FHIRCRYO_TARGET__HEADERS", '{"X-Other": "hush-too"}')
    shown = cli("config", "show")
    assert shown.exit_code == 0, shown.output
    assert "source.headers" in shown.stdout
    assert "hush" not in shown.output


def test_the_commented_file_is_toml_and_names_every_setting():
    text = commented_settings()
    assert tomllib.loads(text) == {}
    uncommented = "\n".join(
        line[2:] for line in text.splitlines() if re.match(r"# (\[|[a-z_]+ = )", line)
    )
    sections = tomllib.loads(uncommented)
    assert {"source", "target", "write", "sync"} <= sections.keys()
    assert sections["sync"]["full_every_days"] == 7
    assert "timezone" in sections


def test_init_overwrites_nothing():
    assert cli("config", "init").exit_code == 0
    before = Path("fhircryo.toml").read_text()
    again = CliRunner().invoke(app, ["config", "init"])
    assert isinstance(again.exception, UsageError)
    assert Path("fhircryo.toml").read_text() == before


def test_a_link_to_no_settings_file_is_told():
    """Else a run would go on with the defaults, for example without the list of who objected."""
    Path("fhircryo.toml").symlink_to("moved.toml")
    ran = CliRunner().invoke(app, ["config", "show"])
    assert isinstance(ran.exception, UsageError)
    assert "leads to no settings file" in str(ran.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ("sync", "--config", "locked/fhircryo.toml"),
        ("sync", "--status", "--config", "locked/fhircryo.toml"),
        ("compute", "locked/in", "out"),
        ("push", "locked/in", "http://127.0.0.1:9/fhir"),
        ("doctor", "locked/in"),
        ("compute", "in", "locked/out"),
    ],
)
def test_a_folder_that_the_user_may_not_search_is_no_bug(arguments, monkeypatch):
    """Root may search any folder, so the refusal of the system is imitated."""
    stat = os.stat

    def refusing(path, *given, **more):
        if "locked" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *given, **more)

    inputs.folder(Path("in"), {"a.ndjson": [inputs.patient("p1")]})
    monkeypatch.setattr(os, "stat", refusing)
    ran = inputs.cli(*arguments)
    assert ran.code in (2, 3, 5)
    assert "Permission denied" in ran.err
    assert "locked/" in ran.err
    assert "Traceback" not in ran.err


def test_a_scheduled_run_needs_a_source():
    for command in (["sync"], ["sync", "--status"], ["state", "show"], ["forget", "p1", "--yes"]):
        ran = CliRunner().invoke(app, command)
        assert isinstance(ran.exception, UsageError), command
        assert "sync.source" in str(ran.exception)


def test_a_folder_is_no_source_of_a_scheduled_run(monkeypatch, tmp_path):
    monkeypatch.setenv("FHIRCRYO_SYNC__SOURCE", str(tmp_path))
    ran = CliRunner().invoke(app, ["sync"])
    assert "not the base URL" in str(ran.exception)


def test_a_state_that_is_not_there_damaged_and_removed(monkeypatch, tmp_path):
    monkeypatch.setenv("FHIRCRYO_SYNC__SOURCE", "https://fhir.example/r4")
    assert "nothing is remembered" in cli("state", "show").stdout
    assert "nothing is remembered" in cli("state", "check").stdout
    from fhircryo.cli.run_options import scheduled_settings
    from fhircryo.runs.sync.state_file import open_state, state_path
    from fhircryo.runs.sync.sync_options import source_and_target

    job = scheduled_settings(None)
    path = state_path(job, *source_and_target(job))
    with open_state(path) as state, state.transaction():
        state.set_watermarks({"Patient": "2026-01-01T00:00:00.000Z"})
    assert "2026-01-01" in cli("state", "show").stdout
    assert "sound" in cli("state", "check").stdout
    path.write_bytes(b"no database at all" * 500)
    for command in ("check", "show"):
        damaged = cli("state", command)
        assert damaged.exit_code == 2
        assert "damaged" in damaged.stdout
    assert "Remove" in CliRunner().invoke(app, ["state", "reset"], input="n\n").stdout
    assert path.exists()
    assert cli("state", "reset", "--yes").exit_code == 0
    assert not path.exists()
