"""Times other readers and clients beside ours, on the same PSA results.

    python -m benchmarks.peers [--write docs/explanation/peers.md] [--only duckdb --only polars]

First from NDJSON to a table, then from a HAPI server. Every one runs in a process of its own, all
of them in every round, each round another first. Counted is processor time, of the children too.
Each has to give the rows that ours gives: one that gives others has no figure, and the exit status
is 1. One that cannot be run here is a line that says why.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import peer_clients, peer_folder, peer_page
from benchmarks.generate import generate
from benchmarks.peer_process import NotRun, Order, Result, measured
from benchmarks.peer_rows import difference
from benchmarks.server import PAGE, PSA, psa_cohort
from tests.server.hapi import HapiServer, HapiUnavailable
from tests.server.loading import load

OURS = "fhircryo"
#: Observations that are read before the clock starts.
FEW = 10
#: What every client asks for.
QUERY = {"code": f"http://loinc.org|{PSA}", "_count": str(PAGE)}
#: Seconds for one peer in one round.
LIMIT = 900.0


def run_rounds(orders: dict[str, Order], expected: Path, rounds: int) -> list[Result]:
    """Run every peer in every round, each round another first.

    ``expected``: the rows that each has to give. One that fails is not tried again.
    """
    results = [Result(name) for name in orders]
    for number in range(rounds):
        start = number % len(results)
        for result in results[start:] + results[:start]:
            if not result.problem:
                _run(result, orders[result.name], expected)
    return results


def _run(result: Result, order: Order, expected: Path) -> None:
    try:
        found = measured(order, LIMIT)
    except NotRun as error:
        result.problem = f"not run: {error}"
        print(f"  {result.name}: {result.problem}", flush=True)
        return
    differs = difference(expected, order.rows)
    if differs:
        result.problem, result.wrong = f"other rows: {differs}", True
        print(f"  {result.name}: {result.problem}", flush=True)
        return
    result.rounds.append(found)
    each = [f"{seconds / found.rows * 1e6:.1f}" for seconds in found.passes]
    first = f", first row after {found.first:.2f} s" if found.wall else ""
    print(f"  {result.name}: {', '.join(each)} microseconds of CPU each{first}", flush=True)


def write_lines(folder: Path, lines: Iterable[str], name: str = peer_folder.FILE) -> Path:
    """A folder with one file of lines."""
    folder.mkdir()
    (folder / name).write_text("".join(lines), encoding="utf-8")
    return folder


def psa_folders(root: Path, patients: int) -> tuple[Path, Path]:
    """Folders of PSA Observations alone: all of them, and a few."""
    generate(root / "cohort", patients)
    with (root / "cohort" / peer_folder.FILE).open(encoding="utf-8") as file:
        lines = [line for line in file if f'"{PSA}"' in line]
    return write_lines(root / "all", lines), write_lines(root / "few", lines[:FEW])


def from_folder(root: Path, options: argparse.Namespace) -> list[Result]:
    """Time the readers."""
    everything, few = psa_folders(root, options.patients)
    ours = Order("folder", OURS, str(everything), str(few), str(root / "ours" / "folder"))
    measured(ours, LIMIT)
    orders = {
        peer.name: replace(ours, peer=peer.name, into=str(root / f"peer-{number}"))
        for number, peer in enumerate(peer_folder.PEERS)
        if wanted(peer.name, options)
    }
    return run_rounds(orders, ours.rows, options.rounds)


def from_server(root: Path, options: argparse.Namespace) -> list[Result]:
    """Time the clients, on a server of its own. A round before the first warms it up.

    Raises:
        HapiUnavailable: there is no server to be had.
    """
    generate(root / "pull", options.server_patients)
    patients = (root / "pull" / "Patient.ndjson").read_text(encoding="utf-8")
    few = write_lines(root / "patients", [patients], "Patient.ndjson")
    clients = [one.name for one in peer_clients.CLIENTS if wanted(one.name, options)]
    with HapiServer.start(max_page=PAGE) as server:
        load(server.url, psa_cohort(root / "pull"))
        ours = Order("server", OURS, server.url, str(few), str(root / "ours" / "server"), QUERY)
        measured(ours, LIMIT)
        orders = {
            name: replace(ours, peer=name, into=str(root / f"client-{number}"))
            for number, name in enumerate(clients)
        }
        print("  (a round that does not count)")
        run_rounds(orders, ours.rows, 1)
        print("  (rounds that count)")
        results = run_rounds(orders, ours.rows, options.server_rounds)
    server.log.unlink()
    return results


def wanted(name: str, options: argparse.Namespace) -> bool:
    """Whether a peer is to be timed: ours always."""
    return name == OURS or not options.only or name in options.only


def publish(kind: str, block: str, page: Path | None) -> None:
    """Print a table; write it into its place on the page."""
    print(f"\n{block}\n")
    if page is not None:
        peer_page.replace(page, kind, block)


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=3_750, help="twelve PSA results each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--server-patients", type=int, default=667, help="twelve PSA results each")
    parser.add_argument("--server-rounds", type=int, default=3)
    parser.add_argument("--only", action="append", help="one of them, beside ours; repeatable")
    parser.add_argument("--no-server", action="store_true")
    parser.add_argument("--no-folder", action="store_true")
    parser.add_argument("--write", type=Path, help="the page whose tables are replaced")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 where a peer gave other rows than ours."""
    options = parsed(words)
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        if not options.no_folder:
            print("NDJSON to a table", flush=True)
            results += from_folder(root, options)
            publish("folder", peer_page.folder_block(results), options.write)
        if not options.no_server:
            print("A HAPI server to rows", flush=True)
            try:
                found = from_server(root, options)
            except HapiUnavailable as error:
                print(f"  not run: {error}")
            else:
                publish("server", peer_page.server_block(found), options.write)
                results += found
    return int(any(result.wrong for result in results))


if __name__ == "__main__":
    sys.exit(main())
