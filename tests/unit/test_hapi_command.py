"""``fhircryo hapi`` without its server: what is started, loaded and run, and how it ends."""

import os
import sys
from pathlib import Path
from typing import Any, Self

import pytest
from typer.testing import CliRunner

from fhircryo.cli.main import app
from fhircryo.errors import UsageError
from fhircryo.setup.hapi import hapi_build, hapi_server, loading
from fhircryo.setup.hapi.hapi_build import HapiUnavailable, cache_folder, classpath


class NoServer:
    """In place of the server: keeps what it was started with, and whether it was stopped."""

    started: dict[str, Any] = {}
    url = "http://127.0.0.1:1/fhir"

    def __init__(self, log: Path) -> None:
        self.log = log
        self.stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped = True


@pytest.fixture
def server(monkeypatch, tmp_path) -> NoServer:
    made = NoServer(tmp_path / "hapi.log")
    made.log.touch()

    def start(**how: Any) -> NoServer:
        made.started = how
        return made

    monkeypatch.setattr(hapi_server.HapiServer, "start", start)
    monkeypatch.setenv("HAPI_CACHE", str(tmp_path))
    return made


def hapi(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["hapi", *arguments])


@pytest.mark.parametrize("code", [0, 3])
def test_the_command_gets_the_url_and_gives_the_exit_code(code, server, tmp_path):
    target = tmp_path / "seen"
    program = (
        "import os, pathlib, sys;"
        f" pathlib.Path({str(target)!r}).write_text(os.environ['HAPI_URL']); sys.exit({code})"
    )
    ran = hapi("--fhir", "R5", "--max-page", "7", "--", sys.executable, "-c", program)
    assert ran.exit_code == code
    assert target.read_text() == server.url
    assert server.url in ran.stdout
    assert server.stopped
    assert server.started == {"port": 0, "max_page": 7, "default_page": 7, "fhir": "R5"}
    assert not server.log.exists()


def test_a_folder_is_loaded_before_the_command_runs(server, tmp_path, monkeypatch):
    loaded = []

    def load(url: str, folder: Path) -> loading.Loaded:
        loaded.append((url, folder))
        return loading.Loaded({"Patient": 2})

    monkeypatch.setattr(loading, "load", load)
    ran = hapi("--load", str(tmp_path), "--", sys.executable, "-c", "")
    assert loaded == [(server.url, tmp_path)]
    assert "2 resources loaded" in ran.output


def test_a_command_that_does_not_exist_is_told(server):
    ran = hapi("--", "no-such-command-here")
    assert isinstance(ran.exception, UsageError)
    assert "no-such-command-here: cannot be started" in str(ran.exception)
    assert server.stopped


def test_the_cache_is_where_it_is_said(monkeypatch, tmp_path, server):
    monkeypatch.delenv("HAPI_CACHE")
    assert cache_folder().name == "hapi"
    assert "fhircryo" in cache_folder().parts
    hapi("--cache", str(tmp_path / "kept"), "--", sys.executable, "-c", "")
    assert os.environ["HAPI_CACHE"] == str(tmp_path / "kept")
    assert cache_folder() == tmp_path / "kept"


def test_what_is_missing_is_told_with_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("HAPI_CACHE", str(tmp_path))
    monkeypatch.setattr(hapi_build.shutil, "which", lambda _: None)
    with pytest.raises(HapiUnavailable, match=r"mvn is not installed \(on Debian: apt install"):
        classpath()
    assert HapiUnavailable.exit_code == 2
