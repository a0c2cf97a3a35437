"""Times a scheduled run in which ten patients changed, among few and among many.

    python -m benchmarks.sync [--few 20] [--many 400]
    python -m benchmarks.sync --memory --few 100 --many 20000

The first on a HAPI server, the second on one that answers from memory.

Printed are requests and the median time of some runs, and their ratio. Requests must be equal, and
the ratio at most 1.5.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from memory_server import memory_server

from fhircryo.publish import transaction as publishing
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.run import sync
from fhircryo.runs.sync.sync_options import SyncOptions
from fhircryo.runs.sync.sync_result import SyncResult
from fhircryo.settings import ServerSettings, Settings, SyncSettings, WriteSettings
from tests.server.cohorts import cohort, psa
from tests.server.hapi import HapiServer
from tests.server.loading import post, transaction

TODAY = date(2016, 6, 1)
CHANGED = 10
RUNS = 5
GOAL = 1.5
#: Seconds after which the resources of the cohort lie outside the overlap.
OVERLAP = 2.0


def run(url: str, state: Path) -> SyncResult:
    """One scheduled run."""
    settings = Settings.model_construct(
        source=ServerSettings(page_size=1000),
        sync=SyncSettings(source=url, overlap=OVERLAP, full_every_days=10_000),
        write=WriteSettings(bundle_size=500),
        state_folder=state,
    )
    job = RunConfig.of(settings, TODAY)
    return sync(job, SyncOptions(today=TODAY))


def prepare(url: str, patients: int, state: Path) -> None:
    """Load a cohort, and have its endpoints published."""
    names = [f"p{number}" for number in range(patients)]
    for start in range(0, patients, 50):
        post(url, transaction(cohort(*names[start : start + 50])))
    checked = publishing.validate
    # Checking is half of the time of a first run of many.
    publishing.validate = lambda *_, **__: None
    try:
        run(url, state)
    finally:
        publishing.validate = checked
    time.sleep(OVERLAP + 2.0)
    run(url, state)


def measure(url: str, state: Path) -> tuple[float, int]:
    """The median time and the requests of runs in which ten patients changed."""
    times, requests = [], set()
    for number in range(RUNS):
        day = str(date(2016, 4, 1) + timedelta(days=number))
        value = f"0.{number + 1}"
        post(url, transaction(psa(f"p{one}", "new", day, value) for one in range(CHANGED)))
        started = time.perf_counter()
        done = run(url, state)
        times.append(time.perf_counter() - started)
        assert (done.full, done.patients) == ("", CHANGED), done
        requests.add(done.requests)
        time.sleep(OVERLAP + 2.0)
    return statistics.median(times), max(requests)


@contextmanager
def _server(memory: bool) -> Iterator[str]:
    if memory:
        with memory_server() as url:
            yield url
        return
    with HapiServer.start(max_page=1000) as server:
        yield server.url
    server.log.unlink()


def main() -> int:
    """Measure both and compare; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--few", type=int, default=20)
    parser.add_argument("--many", type=int, default=400)
    options = parser.parse_args()
    figures = []
    for patients in (options.few, options.many):
        with _server(options.memory) as url, tempfile.TemporaryDirectory() as folder:
            prepare(url, patients, Path(folder))
            seconds, requests = measure(url, Path(folder))
        print(f"{CHANGED} changed of {patients:>6}: {seconds:7.3f} s, {requests} requests")
        figures.append((seconds, requests))
    ratio = figures[1][0] / figures[0][0]
    met = ratio <= GOAL and figures[0][1] == figures[1][1]
    print(f"ratio {ratio:.2f} (goal {GOAL}), requests {'equal' if met else 'compare above'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
