"""Make Synthea's patients: fetch Synthea with Maven, run it, keep its FHIR as NDJSON.

Needs Java 17 and Maven. Fetched once (200 MB) and kept under ``.cache/``; a run of 300 men takes
three to four minutes and 2.7 GB. Seed and reference date are fixed, so the same version of Synthea
gives the same patients again, in another order.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache"
POM = HERE / "pom.xml"

#: Synthea's last simulated day, as it wants to read it.
REFERENCE_DATE = "20250101"
SEED = 7
#: What fhircryo does not read and what would double the size of the export.
LEFT_OUT = ("Claim", "ExplanationOfBenefit", "DocumentReference", "DiagnosticReport", "Provenance")


class FetchError(Exception):
    """What a person can do something about: shown without a traceback."""


def tool(name: str, package: str) -> str:
    """Where a program is.

    Raises:
        FetchError: it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise FetchError(f"{name} is not installed (on Debian: apt install {package})")
    return found


def run(command: list[str], log: Path) -> None:
    """Run a command with all that it says in a file.

    Raises:
        FetchError: it failed; with the end of what it said.
    """
    with log.open("wb") as file:
        code = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode
    if code:
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        raise FetchError("\n".join([f"{command[0]} failed with {code}; see {log}", *said]))


def fetch_jars() -> Path:
    """Synthea and what it needs, in one folder; from Maven the first time only."""
    jars = CACHE / "synthea-jars"
    done = jars / "complete"
    # The pom says what belongs there: another version there, another fetch.
    if done.exists() and done.read_bytes() == POM.read_bytes():
        return jars
    mvn = tool("mvn", "maven")
    if jars.exists():
        shutil.rmtree(jars)
    jars.mkdir(parents=True)
    print(f"fetching Synthea into {jars}", file=sys.stderr)
    command = [mvn, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
    run(command, CACHE / "synthea-fetch.log")
    done.write_bytes(POM.read_bytes())
    return jars


def generate(jars: Path, out: Path, men: int) -> None:
    """Let Synthea live ``men`` lives to the end (the dead come on top) and move its FHIR to out."""
    work = CACHE / "synthea-work"
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    settings = {
        "exporter.baseDirectory": str(work),
        "exporter.fhir.bulk_data": "true",
        "exporter.fhir.excluded_resources": ",".join(LEFT_OUT),
        "exporter.hospital.fhir.export": "false",
        "exporter.practitioner.fhir.export": "false",
        # Whole lives: Synthea's default keeps ten years, and would cut PSA series short.
        "exporter.years_of_history": "0",
    }
    command = [tool("java", "openjdk-17-jre-headless"), "-Xmx2g", "-cp", f"{jars}/*", "App"]
    command += ["-p", str(men), "-s", str(SEED), "-cs", str(SEED), "-g", "M", "-a", "62-85"]
    command += ["-r", REFERENCE_DATE, "-e", REFERENCE_DATE]
    command += [f"--{key}={value}" for key, value in settings.items()]
    print(f"running Synthea for {men} men", file=sys.stderr)
    run(command, CACHE / "synthea-run.log")
    exported = sorted((work / "fhir").glob("*.ndjson"))
    if not exported:
        raise FetchError(f"Synthea wrote no FHIR; see {CACHE / 'synthea-run.log'}")
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.ndjson"):
        old.unlink()
    for file in exported:
        shutil.move(file, out / file.name)
    shutil.rmtree(work)


def main() -> int:
    """Fetch, run, say where it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "out", nargs="?", type=Path, default=CACHE / "synthea", help="NDJSON folder"
    )
    parser.add_argument("--men", type=int, default=300, help="how many living men (default 300)")
    options = parser.parse_args()
    try:
        CACHE.mkdir(exist_ok=True)
        tool("java", "openjdk-17-jre-headless")
        generate(fetch_jars(), options.out, options.men)
    except (FetchError, OSError) as error:
        print(f"fetch.py: {error}", file=sys.stderr)
        return 1
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
