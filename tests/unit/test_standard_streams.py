"""Output that cannot be written: a reader that has gone is no error, a full disk is one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit import inputs

pytestmark = pytest.mark.slow

FULL = Path("/dev/full")
PRINTING = (["protocols", "list"], ["--help"], ["--version"], ["demo"])
full_disk = pytest.mark.skipif(not FULL.exists(), reason="there is no device that is full")
unbuffered = pytest.mark.parametrize("unbuffered", ["", "1"])


def run(arguments: list[object], unbuffered: str = "", **streams: object) -> tuple[int, str]:
    """Run a command; return its exit code and what it wrote on stderr, if that is not given."""
    ran = subprocess.run(
        [sys.executable, "-m", "fhircryo", *map(str, arguments)],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        check=False,
        timeout=60,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )
    return ran.returncode, (ran.stderr or b"").decode()


@contextmanager
def reader_gone() -> Iterator[int]:
    """A pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@unbuffered
@pytest.mark.parametrize("arguments", PRINTING, ids=lambda one: one[0])
def test_a_stdout_whose_reader_has_gone_is_no_error(arguments, unbuffered):
    with reader_gone() as pipe:
        assert run(arguments, unbuffered, stdout=pipe) == (0, "")


@full_disk
@unbuffered
@pytest.mark.parametrize("arguments", PRINTING, ids=lambda one: one[0])
def test_a_full_disk_is_an_error(arguments, unbuffered):
    with FULL.open("wb") as file:
        code, err = run(arguments, unbuffered, stdout=file)
    assert code == 5
    assert err == "fhircryo: standard output: cannot be written: No space left on device\n"


@full_disk
@unbuffered
def test_messages_that_cannot_be_written_do_not_change_how_a_run_ends(unbuffered, tmp_path):
    source = inputs.folder(tmp_path / "in", {"Patient.ndjson": [inputs.patient("p1")]})
    for arguments, code in (
        (["compute", source, tmp_path / "out"], 0),
        (["compute", tmp_path / "nowhere", tmp_path / "other"], 3),
        (["no-command"], 2),
    ):
        with FULL.open("wb") as file:
            assert run(arguments, unbuffered, stderr=file)[0] == code
        with reader_gone() as pipe:
            assert run([*arguments, *(["--force"] if code == 0 else [])], stderr=pipe)[0] == code
    assert (tmp_path / "out" / "manifest.json").exists()


def test_a_command_without_a_stdout():
    shell = f"{sys.executable} -m fhircryo protocols list >&-"
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")


_BREAKS = """
import sys
from fhircryo.cli.main import app
@app.command()
def breaks():
    raise BrokenPipeError(32, "Broken pipe")
sys.argv = ["fhircryo", "breaks"]
from fhircryo.__main__ import run
run()
"""


def test_a_broken_socket_is_not_taken_for_a_reader_that_has_gone():
    ran = subprocess.run(
        [sys.executable, "-c", _BREAKS], capture_output=True, timeout=60, check=False
    )
    assert ran.returncode == 1
    assert b"BrokenPipeError: [Errno 32] Broken pipe" in ran.stderr
