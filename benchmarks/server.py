"""Times what goes over the wire, on a HAPI server of its own: pulling PSA, writing endpoints back.

    python -m benchmarks.server [--patients 667] [--rounds 5]

Printed are medians of rates and ratios of rounds: all contenders run in each round, one after
another, so that what slows the machine slows them alike. Needs Java 17 and Maven.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from benchmarks import pull, write_back
from benchmarks.generate import generate
from benchmarks.replay import record, replayed
from benchmarks.rounds import alternate, print_table
from benchmarks.sign_in import print_share
from fhircryo.publish.computed_folder import read_computed
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.to_folder import compute_folder
from fhircryo.settings import Settings
from tests.server.hapi import HapiServer
from tests.server.loading import load

AS_OF = date(2019, 12, 31)
#: The most that the starter project of HAPI gives on a page unless it is told otherwise.
PAGE = 200
PSA = "2857-1"
INDEX = "55873"
#: Patients whose endpoints are written: 30 endpoints each.
WRITTEN = 100


def psa_cohort(folder: Path) -> Iterator[dict]:
    """The patients of a generated cohort, their index procedures and PSA results."""
    for kind, code in (("Patient", ""), ("Procedure", INDEX), ("Observation", PSA)):
        with (folder / f"{kind}.ndjson").open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if f'"{code}"' in line or not code)


def pulled(server: HapiServer, job: RunConfig, folder: Path, patients: int, rounds: int) -> None:
    """Load a cohort and time its pull."""
    generate(folder, patients)
    loaded = load(server.url, psa_cohort(folder))
    results = loaded.counts["Observation"]
    query = pull.asked(server.url, job, "pat-000000")
    found = alternate(pull.contenders(server.url, job, query), rounds, results)
    print_table(f"PSA pull: {results} Observations in pages of {PAGE}", found)
    print_share(server.url, job, query)
    with replayed(server.url, record(server.url, query)) as url:
        found = alternate(pull.contenders(url, job, query), rounds, results)
    print_table("The same pages from a server that gives them at once: the client alone", found)


def written(server: HapiServer, job: RunConfig, folder: Path, rounds: int) -> None:
    """Compute a cohort and time its write-back."""
    generate(folder / "cohort", WRITTEN)
    summary = compute_folder(folder / "cohort", folder / "endpoints", job)
    contenders = write_back.contenders(server.url, read_computed(folder / "endpoints"))
    found = alternate(contenders, rounds, summary.observations)
    print_table(f"Write-back: {summary.observations} endpoints, new on the server", found)


def main() -> None:
    """Start a server, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=667, help="twelve PSA results each")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    job = RunConfig.of(Settings.model_construct(), AS_OF)
    with tempfile.TemporaryDirectory() as out, HapiServer.start(max_page=PAGE) as server:
        pulled(server, job, Path(out) / "pull", options.patients, options.rounds)
        written(server, job, Path(out) / "write", options.rounds)
    server.log.unlink()


if __name__ == "__main__":
    main()
