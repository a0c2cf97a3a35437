"""Scheduled runs on a real FHIR server: ``python -m tests.server.demo_sync``.

HAPI is started and gets the 62 patients of ``examples/bomers-2020``. A first run publishes their
endpoints; a PSA result is corrected, and a second run writes what follows from it; a third writes
nothing.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.server.demo_server import CONSOLE, get, heading, load_cohort, serving
from tests.server.hapi import HapiUnavailable
from tests.server.loading import post, transaction

_BASE = "https://w3id.org/fhircryo"
_NO = "http://terminology.hl7.org/CodeSystem/v2-0136|N"


def _sync(number: int, words: str, url: str, folder: Path) -> int:
    """Run the command as a timer would; its exit code."""
    heading(number, words)
    CONSOLE.print("[bold]$ fhircryo sync[/]")
    environment = {key: one for key, one in os.environ.items() if not key.startswith("FHIRCRYO_")}
    environment |= {
        "FHIRCRYO_SYNC__SOURCE": url,
        "FHIRCRYO_STATE_FOLDER": str(folder),
        "FHIRCRYO_LOG_LEVEL": "warning",
    }
    return subprocess.run(
        [sys.executable, "-m", "fhircryo", "sync"],
        env=environment,
        cwd=folder,
        stderr=subprocess.STDOUT if not sys.stderr.isatty() else None,
        check=False,
    ).returncode


def _a_nadir(url: str) -> tuple[str, Any]:
    """A patient without failure, and the PSA result that is his nadir."""
    query = f"code={_BASE}/CodeSystem/endpoint|biochemical-failure&value-concept={_NO}&_count=50"
    for entry in get(f"{url}/Observation?{query}")["entry"]:
        patient = entry["resource"]["subject"]["reference"]
        nadir = get(
            f"{url}/Observation?subject={patient}&code={_BASE}/CodeSystem/endpoint|psa-nadir"
        )["entry"][0]["resource"]
        for reference in nadir["derivedFrom"]:  # the nadir, and the PSA before treatment
            result = get(f"{url}/{reference['identifier']['value']}")
            day = result.get("effectiveDateTime", "")[:10]
            plain = result.get("valueQuantity", {}).get("code") == "ng/mL"
            if day == nadir["effectiveDateTime"] and plain and result["status"] == "final":
                return patient, result
    raise LookupError("no patient of the cohort has a plain nadir")


def _correct(url: str) -> None:
    heading(3, "The laboratory corrects a result")
    patient, result = _a_nadir(url)
    before = result["valueQuantity"]["value"]
    after = round(before + 0.01, 2)
    result["valueQuantity"]["value"] = after
    result["status"] = "corrected"
    post(url, transaction([result]))
    CONSOLE.print(f"Observation/{result['id']} of {patient}: {before} ng/mL -> {after} ng/mL")


def _show(url: str, folder: Path) -> int:
    load_cohort(url)
    codes = [_sync(2, "The first run: nothing is remembered", url, folder)]
    _correct(url)
    codes.append(_sync(4, "The second run: what follows from the correction", url, folder))
    codes.append(_sync(5, "The third run: nothing new", url, folder))
    return max(codes)


def main() -> int:
    """Show it; 0 where every run ended well."""
    parser = argparse.ArgumentParser(description="Scheduled runs, on a HAPI FHIR server.")
    parser.add_argument(
        "--server", help="the base of an empty HAPI server; default: one is started"
    )
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder, serving(0, options.server) as url:
            return _show(url, Path(folder))
    except HapiUnavailable as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
