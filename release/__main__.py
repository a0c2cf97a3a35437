"""Builds what a release consists of: ``python -m release dist|wheelhouse FOLDER``.

``dist``: wheel, sdist, bill of materials (CycloneDX), SHA256SUMS. ``wheelhouse``: the same with
the wheels of all that is needed, for a machine without network. Both are reproducible: the time in
them is that of the last commit, or ``SOURCE_DATE_EPOCH``.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import fhircryo

ROOT = Path(__file__).resolve().parents[1]
SUMS = "SHA256SUMS"
REQUIREMENTS = "requirements.txt"
#: What is installed with the program, without extras: the platform's wheels of these are collected.
LOCKED = ("--locked", "--no-default-groups", "--no-emit-project")
#: What has no wheel in the registry: it is built from its source, by the pinned setuptools.
WITHOUT_WHEEL = "autograd-gamma"
PINNED = ("--build-constraints", "build-requirements.txt", "--require-hashes")


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else "uv"


def _run(*command: str | Path, epoch: int) -> str:
    """What a command prints; it runs in the repository, and fails loudly."""
    made = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return made.stdout


def commit_time() -> int:
    """Seconds since 1970 of ``SOURCE_DATE_EPOCH`` or of the last commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    shown = given or subprocess.check_output(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, text=True
    )
    return int(shown)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bill_of_materials(epoch: int) -> str:
    """The locked packages as CycloneDX JSON, with the time and number of this source only."""
    exported = _run(_uv(), "export", "--quiet", *LOCKED, "--format", "cyclonedx1.5", epoch=epoch)
    bill = json.loads(exported)
    about = bill["metadata"]
    about["timestamp"] = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    about["component"] |= {
        "version": fhircryo.__version__,
        "purl": f"pkg:pypi/fhircryo@{fhircryo.__version__}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    del bill["serialNumber"]
    content = json.dumps(bill, indent=2)
    # The same content has the same number.
    bill["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, content).urn
    return json.dumps(bill, indent=2) + "\n"


def _write_sums(folder: Path) -> None:
    """The hash of every other file of the folder, as sha256sum writes it."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    lines = (f"{_sha256(path)}  {path.name}\n" for path in files)
    (folder / SUMS).write_text("".join(lines), "utf-8")


def _requirement(wheel: Path) -> str:
    """The line of a wheel in a requirements file: name, version and hash."""
    name, version, _ = wheel.name.split("-", 2)
    return f"{name}=={version} --hash=sha256:{_sha256(wheel)}\n"


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def dist(folder: Path, epoch: int) -> None:
    """Build the files that are published."""
    _run(_uv(), "build", "--quiet", *PINNED, "--out-dir", _emptied(folder), epoch=epoch)
    (folder / ".gitignore").unlink(missing_ok=True)
    bill = folder / f"fhircryo-{fhircryo.__version__}.cdx.json"
    bill.write_text(bill_of_materials(epoch), "utf-8")
    _write_sums(folder)


def wheelhouse(folder: Path, epoch: int) -> None:
    """Collect the wheels of the lock for this platform and Python, and ours, with their hashes."""
    dist(folder, epoch)
    requirements = folder / REQUIREMENTS
    shown = ("export", "--quiet", *LOCKED, "--no-annotate", "--format", "requirements.txt")
    requirements.write_text(_run(_uv(), *shown, epoch=epoch), "utf-8")
    tool = ("run", "--quiet", "--isolated", "--no-project", "--python", sys.executable)
    pip = ("--with-requirements", "build-requirements.txt", "python", "-m", "pip")
    kinds = ("--only-binary", ":all:", "--no-binary", WITHOUT_WHEEL, "--no-build-isolation")
    files = ("--requirement", requirements, "--wheel-dir", folder)
    options = ("--quiet", "--no-deps", "--require-hashes", *kinds, *files)
    _run(_uv(), *tool, *pip, "wheel", *options, epoch=epoch)
    requirements.write_text("".join(map(_requirement, sorted(folder.glob("*.whl")))), "utf-8")
    _write_sums(folder)


def main() -> None:
    """Build what the command line names."""
    parser = argparse.ArgumentParser(prog="release", description="Build a release.")
    parser.add_argument("what", choices=("dist", "wheelhouse"))
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    folder = given.folder.resolve()
    (dist if given.what == "dist" else wheelhouse)(folder, commit_time())
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {len(list(folder.iterdir()))} files, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
