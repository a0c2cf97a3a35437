"""Clients that make rows of PSA results from a FHIR server, each in its own way.

Nothing of fhircryo is imported before its own turn, so that each client's start is its own.
"""

import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.peer_rows import Row, pyrate_rows, row_of

AS_OF = date(2019, 12, 31)
_FHIR_JSON = {"Accept": "application/fhir+json"}
_NO_CACHE = {"Cache-Control": "no-cache"}
#: Seconds between two looks at whether a client of its own process has written a row.
_LOOK = 0.02

Params = dict[str, str]
#: Told when the first row is there.
Told = Callable[[], None]


@dataclass(frozen=True)
class Asked:
    """What is asked for: all matches of a search at a server.

    ``patients``: a folder with the Patients, for a client that asks for each of them.
    """

    url: str
    query: Params
    patients: Path


@dataclass(frozen=True)
class Client:
    """A client. ``start`` imports and sets up; what it gives fetches all rows, and tells the first.

    ``packages``: those whose versions are stated. ``way``: what is compared, in words.
    """

    name: str
    packages: tuple[str, ...]
    way: str
    start: Callable[[], Callable[[Asked, Told], Iterable[Row]]]


def pages(url: str, query: Params) -> Iterator[dict]:
    """``requests`` and ``json``: one page after another, as the links say."""
    import requests

    with requests.Session() as session:
        session.headers.update(_FHIR_JSON)
        answer = session.post(f"{url}/Observation/_search", query, headers=_NO_CACHE)
        while True:
            page = json.loads(answer.content)
            yield page
            links = {one["relation"]: one["url"] for one in page["link"]}
            if "next" not in links:
                return
            answer = session.get(links["next"])


def fhirpy_values(url: str, query: Params) -> Iterator[tuple[str, str, str, dict]]:
    """fhirpy's search, all pages, values picked out of its resources."""
    from fhirpy import SyncFHIRClient

    client = SyncFHIRClient(url, extra_headers=_NO_CACHE)
    for one in client.resources("Observation").search(**query):
        yield one.id, one.subject.reference, one.effectiveDateTime, one.valueQuantity


def pyrate_frame(url: str, query: Params) -> Any:
    """FHIR-PYrate's way to a DataFrame, values picked out by a function of ours: its fastest."""
    import requests
    from fhir_pyrate import Pirate

    session = requests.Session()
    session.headers.update(_NO_CACHE)
    # It sorts by itself where a sort is not asked for, and asks for the first page twice then.
    sorted_query = {**query, "_sort": "_id"}
    # Its progress bar cannot be turned off.
    with redirect_stderr(io.StringIO()), Pirate(url, auth=session) as pirate:
        return pirate.steal_bundles_to_dataframe(
            "Observation", sorted_query, process_function=pyrate_rows
        )


def told_of_first(rows: Iterable[Row], told: Told) -> Iterator[Row]:
    """The same rows; told as soon as the first is there."""
    iterator = iter(rows)
    for row in iterator:
        told()
        yield row
        break
    yield from iterator


def _start_ours() -> Callable[[Asked, Told], Iterable[Row]]:
    from benchmarks import pull
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.settings import Settings

    job = RunConfig.of(Settings.model_construct(), AS_OF)

    def fetch(asked: Asked, told: Told) -> Iterable[Row]:
        waiting = [told]

        def watch(matches: Iterable[bytes]) -> Iterator[bytes]:
            for match in matches:
                yield match
                # The next one is asked for: this one is read.
                if waiting:
                    waiting.pop()()

        collector = pull.collected(asked.url, job, asked.query["code"], watch=watch)
        return [
            (item.patient, item.when.first, item.measured, item.unit)
            for item in collector.items.values()
        ]

    return fetch


def _start_requests() -> Callable[[Asked, Told], Iterable[Row]]:
    import requests  # noqa: F401  its import is its start

    def rows(asked: Asked) -> Iterator[Row]:
        for page in pages(asked.url, asked.query):
            yield from (row_of(entry["resource"]) for entry in page.get("entry", ()))

    return lambda asked, told: list(told_of_first(rows(asked), told))


def _start_fhirpy() -> Callable[[Asked, Told], Iterable[Row]]:
    import fhirpy  # noqa: F401  its import is its start

    def rows(asked: Asked) -> Iterator[Row]:
        for _, patient, when, quantity in fhirpy_values(asked.url, asked.query):
            yield patient, date.fromisoformat(when[:10]), quantity["value"], quantity["unit"]

    return lambda asked, told: list(told_of_first(rows(asked), told))


def _start_pyrate() -> Callable[[Asked, Told], Iterable[Row]]:
    import fhir_pyrate  # noqa: F401  its import is its start

    def rows(asked: Asked) -> Iterator[Row]:
        table = pyrate_frame(asked.url, asked.query)
        return table[["patient", "day", "value", "unit"]].itertuples(index=False, name=None)

    return lambda asked, told: list(told_of_first(rows(asked), told))


def _start_smart_fetch() -> Callable[[Asked, Told], Iterable[Row]]:
    program = Path(sys.executable).with_name("smart-fetch")
    # A start of its own, which is no part of the work.
    subprocess.run([program, "--version"], check=True, capture_output=True)

    def fetch(asked: Asked, told: Told) -> Iterable[Row]:
        with tempfile.TemporaryDirectory() as folder:
            command = [program, "crawl", folder, "--fhir-url", asked.url, "--no-compression"]
            command += ["--source-dir", asked.patients, "--type", "Observation"]
            command += ["--type-filter", f"Observation?code={asked.query['code']}"]
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            watching = threading.Thread(target=_watch, args=(Path(folder), process, told))
            watching.start()
            said, _ = process.communicate()
            watching.join()
            if process.returncode:
                raise RuntimeError(said.strip().splitlines()[-1])
            with (Path(folder) / "Observation.ndjson").open("rb") as lines:
                return [row_of(json.loads(line)) for line in lines]

    return fetch


def _watch(folder: Path, process: subprocess.Popen[str], told: Told) -> None:
    """Tell when the first whole line is in a file, finished or not."""
    while process.poll() is None:
        for path in folder.glob("Observation.ndjson*"):
            with path.open("rb") as file:
                if b"\n" in file.read(1 << 16):
                    told()
                    return
        time.sleep(_LOOK)
    told()


CLIENTS = [
    Client(
        "fhircryo",
        ("fhircryo",),
        "one search; code, status, version and partial dates judged, units converted to ng/mL",
        _start_ours,
    ),
    Client("requests + json", ("requests",), "one search, values picked out", _start_requests),
    Client("fhirpy", ("fhirpy",), "one search, values picked out of its resources", _start_fhirpy),
    Client(
        "FHIR-PYrate",
        ("fhir-pyrate",),
        "one search, to a DataFrame by a function that picks values out; gives the table at the"
        " end",
        _start_pyrate,
    ),
    Client(
        "smart-fetch",
        ("smart-fetch",),
        "`crawl`: a search for each of the patients, several at a time, to NDJSON on disk, then"
        " `json.loads`; with its start",
        _start_smart_fetch,
    ),
]

BY_NAME = {client.name: client for client in CLIENTS}
