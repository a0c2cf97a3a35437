"""Times ``cohort`` on a folder against ``compute`` of the same, and measures its memory.

    python benchmarks/cohort.py [--patients 10000] [--rounds 3] [--many 100000]

Both as commands of their own, as a user runs them: tables, statistics, figures and report against
the endpoints as FHIR. The ratio is the median of paired rounds, at most 3. The peak memory is that
of ``cohort`` of many patients in one process, at most 4 GB (``--many 0`` leaves it out).
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from generate import generate

AS_OF = "2019-12-31"
GOAL = 3.0
MOST_MEMORY = 4 << 10
_MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


def command(name: str, source: Path, target: Path, *options: str) -> list[str]:
    """A command line of fhircryo."""
    words = [sys.executable, "-m", "fhircryo", name, str(source), str(target)]
    return [*words, "--as-of", AS_OF, *options]


def seconds(name: str, source: Path) -> float:
    """Wall-clock time of a command with an empty target."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        arguments = command(name, source, Path(folder) / "out")
        subprocess.run(arguments, check=True, capture_output=True)
        return time.perf_counter() - started


def ratio(source: Path, rounds: int) -> float:
    """How much longer ``cohort`` takes than ``compute``."""
    found = []
    for _ in range(rounds):
        theirs, ours = seconds("compute", source), seconds("cohort", source)
        print(f"  compute {theirs:.2f} s, cohort {ours:.2f} s")
        found.append(ours / theirs)
    return statistics.median(found)


def peak_memory(source: Path) -> int:
    """Peak memory of a ``cohort`` in one process, MiB."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = command("cohort", source, Path(folder) / "out", "--workers", "1")
        measured = [sys.executable, "-c", _MEASURED, *arguments]
        done = subprocess.run(measured, check=True, capture_output=True, text=True)
    return int(done.stdout)


def main() -> int:
    """Measure both; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=100_000)
    options = parser.parse_args()
    met = True
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        generate(source, options.patients)
        found = ratio(source, options.rounds)
        met = found <= GOAL
        print(f"cohort / compute, {options.patients} patients: {found:.2f} (goal <= {GOAL})")
    if options.many:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source"
            generate(source, options.many)
            started = time.perf_counter()
            peak = peak_memory(source)
            took = time.perf_counter() - started
            met = met and peak <= MOST_MEMORY
            print(
                f"cohort of {options.many} patients: peak memory {peak} MiB"
                f" (goal <= {MOST_MEMORY}), {took:.0f} s"
            )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
