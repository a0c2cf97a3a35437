"""The wheel holds all that the program needs: installed into an empty environment, it runs."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def _run(*command: object, cwd: Path, timeout: int = 600) -> "subprocess.CompletedProcess[str]":
    """Run a command with nothing of the checkout in its environment."""
    hidden = ("PYTHON", "VIRTUAL_ENV", "FHIRCRYO_", "UV_PROJECT")
    environment = {key: text for key, text in os.environ.items() if not key.startswith(hidden)}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def _done(ran: "subprocess.CompletedProcess[str]") -> str:
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def _uv() -> str | None:
    beside = Path(sys.executable).parent / "uv"
    return shutil.which("uv") or (str(beside) if beside.exists() else None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("wheel")


@pytest.fixture(scope="module")
def environment(folder) -> Path:
    """An empty virtual environment; its folder of commands."""
    uv = _uv()
    if uv:
        _done(_run(uv, "venv", "--python", sys.executable, folder / "venv", cwd=folder))
    else:
        _done(_run(sys.executable, "-m", "venv", folder / "venv", cwd=folder))
    return folder / "venv" / ("Scripts" if os.name == "nt" else "bin")


@pytest.fixture(scope="module")
def wheel(folder, environment) -> Path:
    out = folder / "dist"
    uv = _uv()
    if uv:
        _done(_run(uv, "build", "--wheel", "--out-dir", out, ROOT, cwd=folder))
    else:
        pip = (environment / "python", "-m", "pip", "wheel", "--no-deps", "--quiet")
        _done(_run(*pip, "--wheel-dir", out, ROOT, cwd=folder))
    (built,) = out.glob("fhircryo-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, environment, folder) -> Path:
    """The commands of an environment that holds the wheel and what it asks for."""
    uv = _uv()
    if uv:
        _done(_run(uv, "pip", "install", "--python", environment / "python", wheel, cwd=folder))
    else:
        pip = (environment / "python", "-m", "pip", "install", "--quiet")
        _done(_run(*pip, wheel, cwd=folder))
    return environment


def test_the_wheel_holds_mappings_and_cohort_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    shipped = [
        f"fhircryo/_data/{path.relative_to(ROOT)}" for path in ROOT.glob("mappings/**/*.yaml")
    ]
    cohort = ROOT / "examples" / "bomers-2020"
    shipped += [f"fhircryo/_data/{path.relative_to(ROOT)}" for path in cohort.glob("*.*json*")]
    assert len(shipped) > 15
    assert set(shipped) <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "docs/"))]
    assert not [name for name in names if "__pycache__" in name]
    assert any(name.endswith("LICENSE") for name in names)


def test_the_demo_runs_where_it_is_installed(installed, tmp_path):
    out = _done(_run(installed / "fhircryo", "demo", "--out", "endpoints", cwd=tmp_path))
    assert "DIFFERS" not in out
    assert (tmp_path / "endpoints" / "Observation.ndjson").stat().st_size > 0


def test_the_other_commands_run_where_it_is_installed(installed, tmp_path):
    command = installed / "fhircryo"
    assert "bomers-2020" in _done(_run(command, "protocols", "list", cwd=tmp_path))
    assert "id: bomers-2020" in _done(
        _run(command, "protocols", "show", "bomers-2020", cwd=tmp_path)
    )
    assert "all as expected" in _done(_run(command, "mappings", "check", cwd=tmp_path))
    assert "Example" in _done(_run(command, "--help", cwd=tmp_path))


def test_what_is_installed_computes_the_same_as_the_checkout(installed, tmp_path):
    cohort = ROOT / "examples" / "bomers-2020"
    arguments = ("compute", cohort, "--as-of", "2017-12-31", "--validate")
    for python, target in ((installed / "python", "wheel"), (sys.executable, "checkout")):
        cwd = tmp_path if target == "wheel" else ROOT
        _done(_run(python, "-m", "fhircryo", *arguments, tmp_path / target, cwd=cwd))
    for file in (tmp_path / "wheel").iterdir():
        assert file.read_bytes() == (tmp_path / "checkout" / file.name).read_bytes(), file.name
