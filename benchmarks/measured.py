"""Runs a command and measures it: wall-clock time, processor time and peak memory."""

import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

AS_OF = "2019-12-31"
#: Seconds between two looks at the processes.
_EVERY = 0.1
#: prctl(2): processes that outlive their parent, as the Java machine of Spark does, become ours.
_SET_CHILD_SUBREAPER = 36


class Measured(NamedTuple):
    """Seconds by the clock, seconds of all processors, and MiB of the largest process."""

    wall: float
    processor: float
    peak: int


def fhircryo(*arguments: object) -> list[str]:
    """A command line of fhircryo."""
    return [sys.executable, "-m", "fhircryo", *map(str, arguments)]


def to_folder(command: str, source: Path, *options: str) -> Measured:
    """Measure a command that computes a source into an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out"
        return measure(fhircryo(command, source, target, "--as-of", AS_OF, *options))


def measure(command: list[str]) -> Measured:
    """Measure a command with all processes that it starts.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    found = subprocess.run(
        [sys.executable, __file__, *command], check=True, stdout=subprocess.PIPE, text=True
    )
    return Measured(*json.loads(found.stdout))


def processor_name() -> str:
    """The name of this machine's processor, as Linux gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def verdict(ratio: float, goal: float) -> str:
    """A goal, and whether it is met."""
    return f"(goal <= {goal}: {'met' if ratio <= goal else 'MISSED'})"


def spread(found: Sequence[float]) -> str:
    """The median, and the smallest and largest value."""
    return f"{statistics.median(found):.2f} ({min(found):.2f}-{max(found):.2f})"


def _main(command: list[str]) -> None:
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started = time.perf_counter()
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen: dict[tuple[str, str], int] = {}
    while running.poll() is None:
        _look(seen)
        time.sleep(_EVERY)
    wall = time.perf_counter() - started
    if running.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {running.returncode}")
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    looked_at = sum(seen.values()) / os.sysconf("SC_CLK_TCK")
    worked = max(used.ru_utime + used.ru_stime, looked_at)
    print(json.dumps([wall, worked, used.ru_maxrss >> 10]))


def _look(seen: dict[tuple[str, str], int]) -> None:
    """Note the processor time of all our descendants, in ticks.

    Spark's processes do not wait for the processes that they start, so that the system forgets how
    long these have worked.
    """
    found: dict[str, list[str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The second field is a name in brackets, which may hold anything.
            found[folder.name] = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It has just ended.
    ours = {str(os.getpid())}
    waiting = True
    while waiting:
        waiting = {name for name, fields in found.items() if fields[1] in ours} - ours
        ours |= waiting
    for name in ours - {str(os.getpid())}:
        fields = found[name]
        seen[name, fields[19]] = int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    _main(sys.argv[1:])
