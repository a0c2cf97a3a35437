"""A demonstration on a real FHIR server: ``python -m tests.server.demo_server [--once]``.

HAPI is started and gets the 62 patients of ``examples/bomers-2020``. Their endpoints are computed
from it and written back to it, and the paper's table is computed from what the server holds. Then
it is shown that a search finds them. It stays until Ctrl-C; its data are in memory and gone then.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests
from rich.console import Console

from fhircryo.cli.demo import DEMO_AS_OF, demo_cohort, demo_run_config, print_table
from fhircryo.endpoints.catalogue import DISEASE_FREE
from fhircryo.publish.observation_maker import YES_NO
from tests.server.hapi import HapiServer, HapiUnavailable
from tests.server.loading import load

COHORT = Path(__file__).parents[2] / "examples" / "bomers-2020"
#: URLs are long: they are never broken, so that a terminal can open them.
CONSOLE = Console(soft_wrap=True, highlight=False)
_BASE = "https://w3id.org/fhircryo"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The demo, on a HAPI FHIR server, until Ctrl-C.")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--server", metavar="URL", help="an empty one of ours that runs already")
    parser.add_argument("--once", action="store_true", help="show everything, then end")
    return parser.parse_args()


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def heading(number: int, words: str) -> None:
    CONSOLE.print(f"\n[bold cyan]{number}  {words}[/]")


@contextmanager
def serving(port: int, running: str | None) -> Iterator[str]:
    heading(1, "A FHIR server")
    if running is not None:
        _name(running)
        yield running
        return
    with CONSOLE.status("HAPI starts (the first time it is fetched: 400 MB) ..."):
        server = HapiServer.start(port=port, max_page=500)
    with server:
        _name(server.url)
        yield server.url
    server.log.unlink()


def _name(url: str) -> None:
    software = get(f"{url}/metadata")["software"]
    CONSOLE.print(f"{software['name']} {software['version']}, empty: {url}")


def get(url: str) -> Any:
    response = requests.get(url, headers={"Accept": "application/fhir+json"}, timeout=60)
    response.raise_for_status()
    return response.json()


def load_cohort(url: str) -> None:
    heading(2, "A hospital's record: 62 synthetic patients")
    with CONSOLE.status("loading ..."):
        loaded = load(url, COHORT)
    kinds = ", ".join(f"{number} {kind}" for kind, number in loaded.counts.items())
    CONSOLE.print(f"{loaded.total} resources in {loaded.seconds:.0f} s: {kinds}")


def _compute(url: str) -> int:
    """Run the command as a user would, but without his settings; its exit code."""
    heading(3, "Endpoints, from the server to the server")
    command = ["compute", url, url, "--as-of", str(DEMO_AS_OF)]
    CONSOLE.print(f"[bold]$ fhircryo {shlex.join(command)}[/]")
    environment = {key: one for key, one in os.environ.items() if not key.startswith("FHIRCRYO_")}
    with tempfile.TemporaryDirectory() as state:
        environment["FHIRCRYO_STATE_FOLDER"] = state
        return subprocess.run(
            [sys.executable, "-m", "fhircryo", *command],
            env=environment,
            cwd=state,
            stderr=subprocess.STDOUT if not sys.stderr.isatty() else None,
            check=False,
        ).returncode


def _table(url: str) -> bool:
    heading(4, "The paper's table, from the server")
    job = demo_run_config()
    with CONSOLE.status("reading ..."):
        found = demo_cohort(url, job)
    return print_table(found)


def _search(url: str) -> str:
    """Show what a search finds; the id of one endpoint of it."""
    heading(5, "Found again, by any FHIR client")
    query = urlencode(
        {
            "code": f"{_BASE}/CodeSystem/endpoint|{DISEASE_FREE.key}",
            "value-concept": f"{YES_NO}|Y",
        },
        safe=":/|",
    )
    found = get(f"{url}/Observation?{query}&_total=accurate&_count=1")
    CONSOLE.print(f"GET {url}/Observation?{query}")
    CONSOLE.print(f"[bold green]{found['total']} patients are disease-free at 12 months[/]")
    return str(found["entry"][0]["resource"]["id"])


def _look(url: str, endpoint: str) -> None:
    heading(6, "Look at one of them, and at what made it")
    CONSOLE.print(f"endpoint    {url}/Observation/{endpoint}?_pretty=true")
    CONSOLE.print(f"provenance  {url}/Provenance?target=Observation/{endpoint}&_pretty=true")


def _show(url: str, *, once: bool) -> int:
    load_cohort(url)
    code = _compute(url)
    if code:
        return code
    same = _table(url)
    _look(url, _search(url))
    if not once:
        CONSOLE.print("\nThe server stays until Ctrl-C.")
        with suppress(KeyboardInterrupt):
            signal.pause()
        CONSOLE.print()
    return 0 if same else 1


def main() -> int:
    """Start, load, compute, show, wait; 1 where a figure is not the paper's."""
    options = _options()
    signal.signal(signal.SIGTERM, _stop)
    try:
        with serving(options.port, options.server) as url:
            return _show(url, once=options.once)
    except HapiUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
