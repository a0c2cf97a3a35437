"""One reader or client in a process of its own: what it costs, and the rows that it gives.

The parent calls ``measured``; the process that it starts is this module, with its order as JSON.
"""

import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import peer_clients, peer_folder, processor_time
from benchmarks.pathling_library import LibraryUnavailable
from benchmarks.peer_rows import write_rows

_PATH = re.compile(r"(?:/[\w.+-]+)+/")
_LONGEST = 160
_ROOT = Path(__file__).resolve().parents[1]


class NotRun(Exception):
    """A peer could not be run: why, in a line."""


@dataclass
class Measured:
    """What a peer cost in a round, in seconds, and how many rows it gave.

    ``start``: processor time until it had read a few rows, or was ready to ask. ``passes``:
    processor time of each pass. ``wall`` and ``first``: time of the last pass, and until its first
    row (a server only).
    """

    rows: int
    start: float
    passes: list[float]
    versions: dict[str, str]
    wall: float = 0.0
    first: float = 0.0


@dataclass
class Result:
    """What the rounds of a peer gave.

    ``problem``: why there is no figure. ``wrong``: it gave other rows than ours.
    """

    name: str
    rounds: list[Measured] = field(default_factory=list)
    problem: str = ""
    wrong: bool = False

    def median(self, value: Callable[[Measured], float]) -> float:
        """The median of something over the rounds."""
        return statistics.median(map(value, self.rounds))

    def spread(self, value: Callable[[Measured], float]) -> tuple[float, float]:
        """The least and the most of something over the rounds."""
        values = [value(one) for one in self.rounds]
        return min(values), max(values)


@dataclass(frozen=True)
class Order:
    """What a process has to do.

    ``kind``: ``folder`` or ``server``. ``place``: the folder or base URL. ``few``: a folder of a
    few Observations, or one of Patients. ``into``: where rows and report are written.
    """

    kind: str
    peer: str
    place: str
    few: str
    into: str
    query: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> Path:
        """The file of the rows."""
        return Path(self.into) / "rows.tsv"

    @property
    def report(self) -> Path:
        """The file of what it cost."""
        return Path(self.into) / "report.json"


def measured(order: Order, limit: float) -> Measured:
    """Run a peer in a process of its own, for at most ``limit`` seconds.

    Raises:
        NotRun: it is not installed, failed, or took too long.
    """
    Path(order.into).mkdir(parents=True, exist_ok=True)
    python = peer_folder.BY_NAME[order.peer].python if order.kind == "folder" else sys.executable
    command = [python, "-m", "benchmarks.peer_process", json.dumps(asdict(order))]
    try:
        ran = subprocess.run(
            command,
            cwd=_ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=limit,
        )
    except FileNotFoundError:
        raise NotRun("not installed: its environment") from None
    except subprocess.TimeoutExpired:
        raise NotRun(f"not finished after {limit:.0f} s") from None
    if ran.returncode:
        raise NotRun(short(ran.stderr))
    return Measured(**json.loads(order.report.read_text(encoding="utf-8")))


def short(text: str) -> str:
    """The last line that says something, without folders of this machine."""
    lines = [line for line in text.splitlines() if line.strip()] or ["it failed without a word"]
    # A traceback ends with the error; what Java says after it is indented.
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Unavailable)\b", line)]
    line = (errors or lines)[-1].replace("|", "/")
    return _PATH.sub("", line)[:_LONGEST]


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    try:
        return {name: version(name) for name in packages}
    except PackageNotFoundError as missing:
        sys.exit(f"not installed: {missing.name}")


def _read_folder(order: Order) -> Measured:
    peer = peer_folder.BY_NAME[order.peer]
    versions = _versions(peer.packages)
    before = processor_time.seconds()
    try:
        peer.prepare()
    except LibraryUnavailable as error:
        sys.exit(str(error))
    prepared = processor_time.seconds() - before
    read = peer.start()
    read(Path(order.few))
    before = processor_time.seconds()
    start = before - prepared
    passes: list[float] = []
    table: Any = None
    for _ in range(peer.passes):
        table = read(Path(order.place))
        now = processor_time.seconds()
        passes.append(now - before)
        before = now
    return Measured(write_rows(order.rows, peer.rows(table)), start, passes, versions)


def _ask_server(order: Order) -> Measured:
    client = peer_clients.BY_NAME[order.peer]
    versions = _versions(client.packages)
    fetch = client.start()
    start = processor_time.seconds()
    begun = time.perf_counter()
    first: list[float] = []
    rows = fetch(
        peer_clients.Asked(order.place, order.query, Path(order.few)),
        lambda: first.append(time.perf_counter() - begun),
    )
    wall = time.perf_counter() - begun
    spent = processor_time.seconds() - start
    count = write_rows(order.rows, rows)
    return Measured(count, start, [spent], versions, wall, first[0])


def main() -> None:
    """Do what the order says, and report."""
    order = Order(**json.loads(sys.argv[1]))
    done = _read_folder(order) if order.kind == "folder" else _ask_server(order)
    order.report.write_text(json.dumps(asdict(done)), encoding="utf-8")


if __name__ == "__main__":
    main()
