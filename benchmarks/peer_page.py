"""The tables of the peers in the documentation: dated, with versions and the processor's name."""

import os
import platform
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import peer_clients, peer_folder
from benchmarks.peer_process import Measured, Result

_MICRO = 1e6


def replace(page: Path, kind: str, block: str) -> None:
    """Put a table in the place of the one before, between two comments of the page.

    Raises:
        ValueError: the page has no place for it.
    """
    begin, end = f"<!-- {kind}: made by `make bench-peers` -->", f"<!-- end of {kind} -->"
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{page} has no place for {kind}: {begin} ... {end}")
    whole = f"{begin}\n\n{block}\n\n{end}"
    page.write_text(pattern.sub(lambda _: whole, text), encoding="utf-8")


def processor() -> str:
    """The name of the processor and how many of its cores there are, as Linux gives them."""
    found = {}
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.exists() else ():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    name = found.get("model name") or platform.processor() or "a processor without a name"
    if "cpu family" in found:
        name += f" (family {found['cpu family']}, model {found.get('model')})"
    return f"{name}, {os.cpu_count()} cores"


def _measured_on() -> str:
    today = datetime.now(UTC).date()
    return f"Measured on {today} with Python {platform.python_version()} on {processor()}"


def _size(results: Sequence[Result]) -> str:
    rounds = max((one.rounds for one in results), key=len)
    rows = rounds[0].rows if rounds else 0
    return f"{rows:,} Observations; medians of {len(rounds)} rounds"


def _versions(result: Result) -> str:
    versions = result.rounds[0].versions
    if len(versions) == 1:
        return next(iter(versions.values()))
    first, *others = versions.items()
    return ", ".join([first[1], *(f"{name} {number}" for name, number in others)])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _problem(result: Result, columns: int) -> str:
    return _row(result.name, *[""] * (columns - 2), result.problem)


def folder_block(results: Sequence[Result]) -> str:
    """The table of the readers, with what was measured and where."""
    lines = [
        f"{_measured_on()}. {_size(results)}.",
        "",
        _row(
            "reader",
            "version",
            "µs of CPU each",
            "least to most",
            "times fhircryo",
            "start, s of CPU",
            "how",
        ),
        "|---|---|--:|--:|--:|--:|---|",
    ]
    ours = results[0].median(_pass(0)) if results[0].rounds else 0.0
    ranked = sorted(results, key=lambda one: one.median(_pass(0)) if one.rounds else float("inf"))
    for result in ranked:
        peer = peer_folder.BY_NAME[result.name]
        if result.problem:
            lines.append(_problem(result, 7))
            continue
        lines.append(_folder_row(result, 0, ours, result.name, peer.way))
        if peer.passes > 1:
            again = f"the same process, pass {peer.passes}"
            lines.append(_folder_row(result, -1, ours, f"{result.name}, warm", again))
    return "\n".join(lines)


def _pass(number: int) -> Callable[[Measured], float]:
    return lambda one: one.passes[number] / one.rows * _MICRO


def _folder_row(result: Result, number: int, ours: float, name: str, way: str) -> str:
    value = _pass(number)
    least, most = result.spread(value)
    ratio = f"{result.median(value) / ours:.1f}" if ours else ""
    start = f"{result.median(lambda one: one.start):.1f}"
    spread = f"{least:.1f} to {most:.1f}"
    return _row(name, _versions(result), f"{result.median(value):.1f}", spread, ratio, start, way)


def server_block(results: Sequence[Result]) -> str:
    """The table of the clients, with what was measured and where."""
    lines = [
        f"{_measured_on()}, which the server shared. {_size(results)}.",
        "",
        _row(
            "client",
            "version",
            "per second",
            "least to most",
            "first row, s",
            "µs of CPU each",
            "how",
        ),
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for result in results:
        if result.problem:
            lines.append(_problem(result, 7))
            continue
        least, most = result.spread(_rate)
        lines.append(
            _row(
                result.name,
                _versions(result),
                f"{result.median(_rate):,.0f}",
                f"{least:,.0f} to {most:,.0f}",
                f"{result.median(lambda one: one.first):.2f}",
                f"{result.median(_pass(0)):,.0f}",
                peer_clients.BY_NAME[result.name].way,
            )
        )
    return "\n".join(lines)


def _rate(one: Measured) -> float:
    return one.rows / one.wall
