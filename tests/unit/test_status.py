"""What a scheduled run reports: status file, metrics, exit code; and ``sync --status``."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit import inputs
from tests.unit.inputs import Ran, cli
from tests.unit.stub_fhir import StubFhir

pytestmark = pytest.mark.slow


class Site:
    """A server that is source and target, and a folder with settings."""

    def __init__(self, folder: Path, server: StubFhir) -> None:
        self.folder = folder
        self.server = server
        self.metrics_file = folder / "metrics.prom"
        (folder / "fhircryo.toml").write_text(
            f'state_folder = "{folder / "state"}"\n[source]\nretry_budget = 0\n'
            f'[target]\nretry_budget = 0\n[sync]\nsource = "{server.base}"\n'
            f'metrics_file = "{self.metrics_file}"\n'
        )

    def sync(self, *arguments: str) -> Ran:
        return cli("sync", "--config", self.folder / "fhircryo.toml", *arguments)

    @property
    def status_file(self) -> Path:
        (file,) = (self.folder / "state").glob("*.status.json")
        return file

    def status(self) -> dict[str, Any]:
        return json.loads(self.status_file.read_text())

    def metrics(self) -> dict[str, str]:
        lines = self.metrics_file.read_text().splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with StubFhir() as server:
        server.put(
            inputs.patient("p1"),
            inputs.procedure("x1", "2016-01-10"),
            inputs.psa("a1", "2016-03-01", 0.4),
        )
        yield Site(tmp_path, server)


def test_the_status_of_a_successful_run(site):
    assert site.sync().code == 0
    ran = site.sync("--status")
    assert ran.code == 0
    status = json.loads(ran.out)
    assert (status["exit_code"], status["stopped"], status["metrics_problem"]) == (0, False, "")
    assert status["last_success"] == status["ended"]
    assert site.metrics()["fhircryo_sync_last_run_exit_code"] == "0"


def test_no_run_on_record_is_no_success(site):
    ran = site.sync("--status")
    assert ran.code == 2
    assert "no run is on record" in ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"exit_code": null}',
        b'{"exit_code": "0"}',
        b'{"exit_code": true}',
        b'{"exit_code": 0, "last_success": 5}',
        b'{"exit_code": 0, "last_success": "yesterday"}',
    ],
)
def test_a_damaged_status_file_is_no_success(content, site):
    assert site.sync().code == 0
    site.status_file.write_bytes(content)
    ran = site.sync("--status")
    assert ran.code == 2
    assert "damaged" in ran.err
    assert site.sync().code == 0  # the next run writes a new one
    assert site.sync("--status").code == 0


@pytest.mark.parametrize("command", ["check", "show"])
def test_a_damaged_state_is_no_bug(command, site):
    assert site.sync().code == 0
    config = ("--config", site.folder / "fhircryo.toml")
    assert cli("state", command, *config).code == 0
    (state,) = (site.folder / "state").glob("sync-*.sqlite")
    state.write_bytes(b"no database")
    ran = cli("state", command, *config)
    assert ran.code == 2
    assert "damaged; the next run sets the file aside" in ran.out
    assert site.sync().code == 0
    assert cli("state", command, *config).code == 0


def test_a_status_file_that_cannot_be_read_is_no_success(site):
    assert site.sync().code == 0
    file = site.status_file
    file.unlink()
    file.mkdir()
    ran = site.sync("--status")
    assert ran.code == 2
    assert "cannot be read" in ran.err


def test_metrics_that_cannot_be_written_are_a_warning(site, caplog):
    site.metrics_file.mkdir()
    assert site.sync().code == 0
    assert "metrics.prom: cannot be written" in caplog.text
    status = site.status()
    assert status["exit_code"] == 0
    assert "metrics.prom: cannot be written" in status["metrics_problem"]
    assert site.sync("--status").code == 0
    site.metrics_file.rmdir()
    assert site.sync().code == 0
    assert site.status()["metrics_problem"] == ""


def test_a_status_file_that_cannot_be_written_is_an_error(site):
    """Otherwise the status would go on to be that of an earlier run."""
    assert site.sync().code == 0
    file = site.status_file
    file.unlink()
    file.mkdir()
    (file / "something").touch()
    assert site.sync().code == 2
    assert site.metrics()["fhircryo_sync_last_run_exit_code"] == "2"


def test_a_failed_run_keeps_the_time_of_the_last_success(site):
    assert site.sync().code == 0
    status, metrics = site.status(), site.metrics()
    site.server.routes = {}  # every path is 404
    failed = site.sync()
    assert failed.code not in (0, 7)
    assert site.status()["exit_code"] == failed.code
    assert site.status()["message"]
    assert site.status()["last_success"] == status["last_success"]
    name = "fhircryo_sync_last_success_timestamp_seconds"
    assert site.metrics()[name] == metrics[name]
    assert site.sync("--status").code == failed.code


@pytest.mark.parametrize("name", ["Group/1", "no-such-file.txt"])
def test_a_list_of_patients_that_cannot_be_read_is_reported(name, site):
    assert site.sync().code == 0
    failed = site.sync("--patients", name)
    assert failed.code in (2, 3)
    assert site.status()["exit_code"] == failed.code


def test_the_status_is_shown_without_asking_the_server(site):
    file = site.folder / "fhircryo.toml"
    file.write_text(file.read_text().replace("[sync]", '[sync]\npatients = "Group/1"'))
    failed = site.sync()
    assert failed.code == site.status()["exit_code"] != 0
    site.server.seen.clear()
    assert site.sync("--status").code == failed.code
    assert cli("state", "show", "--config", file).code == 0
    assert site.server.seen == []


def test_a_question_that_nobody_answers_is_an_error(site):
    assert site.sync().code == 0
    ran = subprocess.run(
        [sys.executable, "-m", "fhircryo", "state", "reset", "--config", "fhircryo.toml"],
        cwd=site.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    assert b"add --yes" in ran.stderr


def test_a_bug_is_reported_too(site, monkeypatch):
    assert site.sync().code == 0

    def broken(*_: object) -> None:
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr("fhircryo.runs.sync.run.full_run_reason", broken)
    ran = site.sync()
    assert ran.code == 1
    assert "nobody foresaw this" in ran.err
    assert site.status()["exit_code"] == 1
    assert site.status()["message"] == "nobody foresaw this"
    assert site.metrics()["fhircryo_sync_last_run_exit_code"] == "1"


def test_a_dry_run_leaves_the_report_as_it_is(site):
    assert site.sync().code == 0
    before = site.status()
    assert site.sync("--dry-run").code == 0
    assert site.status() == before


def test_the_metrics_are_in_the_format_of_prometheus(site):
    assert site.sync().code == 0
    described: set[str] = set()
    for line in site.metrics_file.read_text().splitlines():
        if line.startswith("# TYPE "):
            assert line.endswith(" gauge")
            described.add(line.split()[2])
        elif not line.startswith("# HELP "):
            name, value = line.rsplit(" ", 1)
            float(value)
            assert name.partition("{")[0] in described
