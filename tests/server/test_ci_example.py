"""The script that a site's CI runs, on a server with the sample in it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.server.hapi import HapiServer
from tests.server.loading import load

EXAMPLES = Path(__file__).parents[2] / "examples"
SITE = EXAMPLES / "site-overlay"


def script(url: str, folder: Path, **given: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: text for name, text in os.environ.items() if "FHIRCRYO" not in name}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HAPI_URL": url,
        "AS_OF": "2020-12-31",
        "OUT": str(folder / "endpoints"),
        "FHIRCRYO_STATE_FOLDER": str(folder / "state"),
    }
    return subprocess.run(
        ["sh", EXAMPLES / "ci" / "check-mappings.sh"],
        cwd=SITE,
        env=environment | given,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_example_of_two_hospitals_passes(empty_hapi: HapiServer, tmp_path):
    load(empty_hapi.url, SITE / "export")
    ran = script(empty_hapi.url, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "cases: all as expected" in ran.stdout
    # Written back, and then nothing is left to write.
    assert ran.stderr.count("\nnew ") + ran.stdout.count("\nnew ") == 2
    assert "new                   0" in ran.stdout + ran.stderr


def test_a_failed_case_ends_it_before_anything_is_written(empty_hapi: HapiServer, tmp_path):
    overlay = tmp_path / "empty.yaml"
    overlay.write_text("units: {psa: {factors: {some: 1}}}", "utf-8")
    ran = script(empty_hapi.url, tmp_path, MAPPINGS=str(overlay))
    assert ran.returncode == 2
    assert "cases failed" in ran.stderr
    assert not (tmp_path / "endpoints").exists()
