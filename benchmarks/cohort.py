"""Compares ``cohort`` of a folder with ``compute`` of the same, and measures its memory.

    python -m benchmarks.cohort [--patients 10000] [--rounds 3] [--many 100000]

Both as commands of their own, as a user runs them: tables, statistics, figures and report against
the endpoints as FHIR. The ratio is that of processor time in one process, the median of paired
rounds. The peak memory is that of both commands of many patients in one process (``--many 0``
leaves it out).
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.generate import generate
from benchmarks.measured import processor_name, spread, to_folder, verdict

GOAL = 1.8
#: MiB for very many patients.
MOST_MEMORY = {"compute": 1536, "cohort": 2048}


def ratios(source: Path, rounds: int) -> list[float]:
    """How much more ``cohort`` takes than ``compute``."""
    found = []
    for _ in range(rounds):
        theirs, ours = (to_folder(one, source, "--workers", "1") for one in ("compute", "cohort"))
        print(f"  compute {theirs.words}; cohort {ours.words}", flush=True)
        found.append(ours.processor / theirs.processor)
    return found


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=100_000)
    options = parser.parse_args()
    print(processor_name())
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        generate(source, options.patients)
        found = ratios(source, options.rounds)
        goal = verdict(statistics.median(found), GOAL)
        print(f"cohort / compute, {options.patients} patients: {spread(found)} {goal}")
    if options.many:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source"
            generate(source, options.many)
            for command, most in MOST_MEMORY.items():
                one = to_folder(command, source, "--workers", "1")
                print(
                    f"{command} of {options.many} patients: {one.words} {verdict(one.peak, most)}"
                )


if __name__ == "__main__":
    main()
