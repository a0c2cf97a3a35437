"""The demonstration on a server: the paper's table, and a search that finds the patients."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fhircryo.cli.demo import DEMO_AS_OF
from tests.unit.inputs import cli

ROOT = Path(__file__).parents[2]
ENDPOINT = r"http\S+/Observation/e[0-9a-f]{32}\?"
PROVENANCE = r"http\S+/Provenance\?target=Observation/e[0-9a-f]{32}&"


@pytest.mark.slow
def test_the_demo_shows_the_table_and_that_a_search_finds_the_endpoints(empty_hapi, tmp_path):
    folder = ROOT / "examples" / "bomers-2020"
    assert cli("compute", folder, tmp_path / "out", "--as-of", DEMO_AS_OF).code == 0
    endpoints = len((tmp_path / "out" / "Observation.ndjson").read_bytes().splitlines())
    done = subprocess.run(
        [sys.executable, "-m", "tests.server.demo_server", "--once", "--server", empty_hapi.url],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=900,
    )
    shown = done.stdout
    assert (done.returncode, done.stderr) == (0, ""), shown
    assert re.findall(r"^(\d)  ", shown, re.MULTILINE) == list("123456")
    assert re.search(f"^new +{endpoints}$", shown, re.MULTILINE)
    table = [line for line in shown.splitlines() if line.startswith("│")]
    assert len(table) == 10
    assert all(line.endswith("│ = │") for line in table)
    assert "36/57 (63 %)" in shown
    assert "\n36 patients are disease-free at 12 months\n" in shown
    assert re.search(f"^endpoint +{ENDPOINT}", shown, re.MULTILINE)
    assert re.search(f"^provenance +{PROVENANCE}", shown, re.MULTILINE)
