"""A release: reproducible, and all that a machine without network needs to run the program."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

import fhircryo

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


@cache
def _without_network() -> tuple[str, ...]:
    """The words before a command that take the network from it; none where that is not allowed."""
    words = ("unshare", "--map-root-user", "--net")
    allowed = (
        shutil.which(words[0]) and not subprocess.run([*words, "true"], check=False).returncode
    )
    return words if allowed else ()


def _alone(*command: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command that cannot reach the network."""
    return _run(*_without_network(), *command, cwd=cwd)


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "wheelhouse"
    _done(_run(sys.executable, "-m", "release", "wheelhouse", folder, cwd=ROOT))
    return folder


@pytest.fixture(scope="module")
def wheel(wheelhouse) -> Path:
    (built,) = wheelhouse.glob("fhircryo-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheelhouse, tmp_path_factory) -> Path:
    """The commands of a new environment, into which the wheelhouse was installed by itself."""
    folder = tmp_path_factory.mktemp("installed")
    _done(_run(sys.executable, "-m", "venv", folder / "venv", cwd=folder))
    commands = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    asked = ("--no-index", "--find-links", wheelhouse, "--require-hashes", "--no-compile")
    requirements = ("--requirement", wheelhouse / "requirements.txt")
    pip = (commands / "python", "-m", "pip", "install", "--quiet", *asked, *requirements)
    _done(_alone(*pip, cwd=folder))
    return commands


def test_the_hashes_are_those_of_the_files(wheelhouse):
    lines = (wheelhouse / "SHA256SUMS").read_text("utf-8").splitlines()
    told = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = [path for path in wheelhouse.iterdir() if path.name != "SHA256SUMS"]
    assert told == {path.name: sha256(path.read_bytes()).hexdigest() for path in files}
    requirements = (wheelhouse / "requirements.txt").read_text("utf-8").splitlines()
    assert {line.rpartition(":")[2] for line in requirements} == {
        told[path.name] for path in files if path.suffix == ".whl"
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_bill_of_materials_names_what_is_installed(wheelhouse, installed):
    (path,) = wheelhouse.glob("*.cdx.json")
    bill = json.loads(path.read_text("utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["metadata"]["component"]["version"] == fhircryo.__version__
    listed = {(one["name"], one["version"]) for one in bill["components"]}
    freeze = _done(_run(installed / "python", "-m", "pip", "list", "--format=json", cwd=wheelhouse))
    found = {(_normal(one["name"]), one["version"]) for one in json.loads(freeze)}
    own = {one for one in found if one[0] in ("fhircryo", "pip", "setuptools")}
    assert len(found) > 40
    assert found - own <= listed
    assert all(one["purl"] and one["externalReferences"] for one in bill["components"])


def test_two_builds_are_the_same_bytes(wheelhouse, tmp_path):
    """From a copy of the sources with other times and permissions."""
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    for name in _done(_run(*listed, cwd=ROOT)).splitlines():
        if not (ROOT / name).is_file() or name.startswith(("docs/", "tests/")):
            continue
        copied = tmp_path / "copy" / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes((ROOT / name).read_bytes())
        copied.chmod(0o600)
    epoch = _done(_run("git", "log", "-1", "--format=%ct", cwd=ROOT)).strip()
    build = (sys.executable, "-m", "release", "dist", tmp_path / "dist")
    _done(_run("env", f"SOURCE_DATE_EPOCH={epoch}", *build, cwd=tmp_path / "copy"))
    built = [path for path in (tmp_path / "dist").iterdir() if path.name != "SHA256SUMS"]
    assert sorted(path.suffix for path in built) == [".gz", ".json", ".whl"]
    for path in built:
        assert path.read_bytes() == (wheelhouse / path.name).read_bytes(), path.name


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
    options = ("--out", "endpoints", "--report", "report")
    out = _done(_alone(installed / "fhircryo", "demo", *options, cwd=tmp_path))
    assert "DIFFERS" not in out
    assert (tmp_path / "endpoints" / "Observation.ndjson").stat().st_size > 0
    assert "data:image/svg+xml" in (tmp_path / "report" / "report.html").read_text("utf-8")


def test_the_other_commands_run_where_it_is_installed(installed, tmp_path):
    command = installed / "fhircryo"
    assert "bomers-2020" in _done(_run(command, "protocols", "list", cwd=tmp_path))
    assert "id: bomers-2020" in _done(
        _run(command, "protocols", "show", "bomers-2020", cwd=tmp_path)
    )
    assert "all as expected" in _done(_run(command, "mappings", "check", cwd=tmp_path))
    assert "Example" in _done(_run(command, "--help", cwd=tmp_path))
    _done(_alone(command, "terminology", "package", "package.tgz", cwd=tmp_path))
    assert (tmp_path / "package.tgz").stat().st_size > 0


def test_what_is_installed_computes_the_same_as_the_checkout(installed, tmp_path):
    cohort = ROOT / "examples" / "bomers-2020"
    arguments = ("compute", cohort, "--as-of", "2017-12-31", "--validate")
    for python, target in ((installed / "python", "wheel"), (sys.executable, "checkout")):
        cwd = tmp_path if target == "wheel" else ROOT
        _done(_run(python, "-m", "fhircryo", *arguments, tmp_path / target, cwd=cwd))
    for file in (tmp_path / "wheel").iterdir():
        assert file.read_bytes() == (tmp_path / "checkout" / file.name).read_bytes(), file.name
