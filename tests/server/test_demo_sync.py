"""The demonstration of scheduled runs: all, two endpoints, none."""

import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

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
