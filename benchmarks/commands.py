"""Times commands as a user runs them, against each other: start-up, explain, Spark.

    python -m benchmarks.commands [--patients 10000] [--rounds 3] [--spark]

Everything is processor time of all processes, the median of paired rounds, so that a busy machine
changes little. ``--spark`` adds ``compute --engine spark``: what each further resource costs there,
against one process.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.generate import generate
from benchmarks.measured import (
    fhircryo,
    measure,
    processor_name,
    spread,
    to_folder,
    verdict,
)

EXAMPLE = Path(__file__).parents[1] / "examples" / "bomers-2020"
GOALS = {"start": 1.0, "explain": 2.5, "spark": 1.5}


def small(rounds: int) -> None:
    """What computing the example takes, most of which is starting."""
    to_folder("compute", EXAMPLE)
    found = [to_folder("compute", EXAMPLE).processor for _ in range(rounds)]
    goal = verdict(statistics.median(found), GOALS["start"])
    print(f"compute of the 62 patients: {spread(found)} s of CPU {goal}")


def one_of_many(source: Path, rounds: int) -> None:
    """``explain`` of one of many patients against ``explain`` of one in an almost empty folder."""
    patient = "pat-000042"
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder)
        for file in source.glob("*.ndjson"):
            lines = [line for line in file.open("rb") if f'"{patient}'.encode() in line]
            if lines:
                (alone / file.name).write_bytes(b"".join(lines))
        found = []
        for _ in range(rounds):
            words = ("explain", source, patient), ("explain", alone, patient)
            many, one = (measure(fhircryo(*some)).processor for some in words)
            found.append(many / one)
    goal = verdict(statistics.median(found), GOALS["explain"])
    print(f"explain of one of many / start-up alone: {spread(found)} {goal}")


def on_spark(source: Path, patients: int, rounds: int) -> None:
    """What each further resource costs on Spark, against one process: slopes, without start-up.

    The smaller source is large enough that Java has compiled what runs often.
    """
    with tempfile.TemporaryDirectory() as folder:
        larger = Path(folder) / "larger"
        more = generate(larger, 4 * patients)
        less = sum(1 for file in source.glob("*.ndjson") for _ in file.open("rb"))
        found, starts = [], []
        for _ in range(rounds):
            slopes = []
            for options in (
                ("--workers", "1"),
                ("--engine", "spark", "--spark-master", "local[2]"),
            ):
                small, large = (to_folder("compute", one, *options) for one in (source, larger))
                slopes.append((large.processor - small.processor) / (more - less))
                starts.append(small.processor - slopes[-1] * less)
                print(f"  {options[-1]}: {small.words}; {large.words}")
            found.append(slopes[1] / slopes[0])
            print(f"  microseconds of CPU a resource: {slopes[0] * 1e6:.1f}, {slopes[1] * 1e6:.1f}")
    print(f"Spark starts in {statistics.median(starts[1::2]):.1f} s of CPU")
    goal = verdict(statistics.median(found), GOALS["spark"])
    print(f"a further resource on Spark / in one process: {spread(found)} {goal}")


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spark", action="store_true")
    options = parser.parse_args()
    print(processor_name())
    small(options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        generate(source, options.patients)
        one_of_many(source, options.rounds)
        if options.spark:
            on_spark(source, options.patients, options.rounds)


if __name__ == "__main__":
    main()
