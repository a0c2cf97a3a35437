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

from benchmarks.processor_time import TICKS_PER_SECOND, living_descendants

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

    @property
    def words(self) -> str:
        """The three numbers with their units."""
        return f"{self.processor:.2f} s of CPU, {self.wall:.2f} s, {self.peak} MiB"


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
        [sys.executable, "-m", "benchmarks.measured", *command],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
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
    # Processes of Spark do not wait for those that they start, so that the system forgets how
    # long these have worked.
    seen: dict[tuple[int, str], int] = {}
    while running.poll() is None:
        for process, fields in living_descendants().items():
            seen[process, fields[19]] = int(fields[11]) + int(fields[12])
        time.sleep(_EVERY)  # what ends between two looks is counted as last seen
    wall = time.perf_counter() - started
    if running.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {running.returncode}")
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    looked_at = sum(seen.values()) / TICKS_PER_SECOND
    worked = max(used.ru_utime + used.ru_stime, looked_at)
    print(json.dumps([wall, worked, used.ru_maxrss >> 10]))


if __name__ == "__main__":
    _main(sys.argv[1:])
