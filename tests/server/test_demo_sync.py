"""The demonstration of scheduled runs: all, two endpoints, none."""

import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests.server import demo_server, demo_sync
from tests.unit import inputs

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_second_run_writes_two_endpoints_and_the_third_none(empty_hapi, tmp_path):
    folder = inputs.compute(inputs.COHORT, tmp_path / "out", as_of=date.today())
    endpoints = len(folder.files["Observation.ndjson"].splitlines())
    done = subprocess.run(
        [sys.executable, "-m", "tests.server.demo_sync", "--server", empty_hapi.url],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=900,
    )
    shown = done.stdout
    assert (done.returncode, done.stderr) == (0, ""), shown
    counts = [
        [int(number) for number in re.findall(rf"^{action} +(\d+)$", shown, re.MULTILINE)]
        for action in ("new", "changed", "retracted")
    ]
    assert counts == [[endpoints, 0], [0, 2], [0, 0]]
    assert shown.count("nothing to write") == 1


def test_where_no_server_is_named_one_is_started(monkeypatch, tmp_path):
    class Started:
        url = "http://127.0.0.1:1/fhir"
        log = tmp_path / "log"

        def __enter__(self) -> "Started":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    Started.log.touch()
    shown = []
    monkeypatch.setattr(demo_server.HapiServer, "start", lambda **_: Started())
    monkeypatch.setattr(demo_server, "_name", lambda _: None)
    monkeypatch.setattr(demo_sync, "_show", lambda url, _: shown.append(url) or 0)
    monkeypatch.setattr(sys, "argv", ["demo_sync"])
    assert demo_sync.main() == 0
    assert shown == [Started.url]
