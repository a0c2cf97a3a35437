"""Fetch HL7's own FHIR examples with npm: those of FHIR R4, of FHIR R5 and of mCODE.

Needs npm (and no Node project): ``npm pack`` gives each package as a tar file, of which only the
FHIR resources in JSON are copied, under names of our own making, each package into a flat folder.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

CACHE = Path(__file__).resolve().parents[2] / ".cache"

#: Package, version and the folder that its resources go to.
PACKAGES = (
    ("hl7.fhir.r4.examples", "4.0.1", "hl7-r4-examples"),
    ("hl7.fhir.r5.examples", "5.0.0", "hl7-r5-examples"),
    ("hl7.fhir.us.mcode", "4.0.0", "mcode-examples"),
)
#: Where resources stand in a package.
PLACES = ("package", "package/example")
#: No resource of these packages is nearly as large (bytes).
LARGEST = 64 << 20


class FetchError(Exception):
    """What a person can do something about: shown without a traceback."""


def fetch(package: str, version: str) -> Path:
    """The package's tar file; from the registry the first time only.

    Raises:
        FetchError: npm is not there, or failed.
    """
    store = CACHE / "npm"
    store.mkdir(parents=True, exist_ok=True)
    file = store / f"{package}-{version}.tgz"
    if file.exists():
        return file
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError("npm is not installed (on Debian: apt install npm)")
    command = [npm, "pack", "--silent", "--pack-destination", str(store), f"{package}@{version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not file.exists():
        raise FetchError(f"npm pack {package}@{version} failed:\n{done.stderr.strip()}")
    return file


def is_resource(content: bytes) -> bool:
    """Whether a file's content is a FHIR resource in JSON."""
    try:
        parsed = json.loads(content)
    except ValueError:
        return False
    return isinstance(parsed, dict) and isinstance(parsed.get("resourceType"), str)


def unpack(file: Path, out: Path) -> int:
    """Copy a package's resources into a flat folder; how many they are.

    No path of the archive is ever written to: a member's last name alone is taken, and only of
    regular files in the places where resources stand.

    Raises:
        FetchError: two members would have one name.
    """
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    number = 0
    with tarfile.open(file, "r:gz") as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if not member.isreg() or path.suffix != ".json" or path.name.startswith("."):
                continue
            if str(path.parent) not in PLACES or member.size > LARGEST:
                continue
            opened = archive.extractfile(member)
            content = opened.read() if opened is not None else b""
            if not is_resource(content):
                continue
            # "x" for examples: a profile and its example may have the same name.
            target = out / (path.name if path.parent.name == "package" else f"x-{path.name}")
            if target.exists():
                raise FetchError(f"{file.name}: two files would be {target.name}")
            target.write_bytes(content)
            number += 1
    return number


def main() -> int:
    """Fetch, unpack, say where they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=CACHE, help="where the folders go")
    options = parser.parse_args()
    try:
        for package, version, folder in PACKAGES:
            number = unpack(fetch(package, version), options.out / folder)
            print(f"{options.out / folder}: {number} resources of {package} {version}")
    except (FetchError, OSError, tarfile.TarError) as error:
        print(f"fetch.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
