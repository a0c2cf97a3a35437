"""Measures how ``compute`` grows with the cohort, and draws it.

    python -m benchmarks.scaling [--most 100000] [--picture docs/explanation/scaling.svg]

For 1,000 to 100,000 patients, with one and two processes and with ``--memory 500MB``: processor
time, wall-clock time and the peak memory of the largest process. And one patient with 100,000
results.
"""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.generate import generate
from benchmarks.measured import Measured, processor_name, to_folder
from fhircryo.research.report import vega

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
WAYS = {
    "one process": ("--workers", "1"),
    "two processes": ("--workers", "2"),
    "one process, --memory 500MB": ("--workers", "1", "--memory", "500MB"),
}
RESULTS = 100_000


def one_patient(folder: Path) -> None:
    """A patient with very many PSA results."""
    generate(folder, 1)
    file = folder / "Observation.ndjson"
    pattern = json.loads(file.open().readline())
    with file.open("a") as more:
        for number in range(RESULTS):
            pattern["id"] = f"more-{number}"
            more.write(json.dumps(pattern) + "\n")


def draw(found: dict[str, dict[int, Measured]], path: Path) -> None:
    """Draw the wall-clock time and the peak memory against the number of patients."""
    measured = [
        (name, size, one.wall, one.peak)
        for name, sizes in found.items()
        for size, one in sizes.items()
    ]
    x = vega.number("patients", "patients", scale={"type": "log"})
    parts = [
        {
            "width": 280,
            "height": 220,
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": x,
                "y": vega.number(field, words, scale={"type": "log"}),
                "color": vega.name("way"),
            },
        }
        for field, words in (("seconds", "seconds"), ("memory", "MiB, largest process"))
    ]
    data = vega.rows(("way", "patients", "seconds", "memory"), measured)
    path.write_bytes(vega.as_svg(vega.drawing(data=data, hconcat=parts)))


def main() -> None:
    """Generate, measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=SIZES[-1])
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    print(processor_name())
    found: dict[str, dict[int, Measured]] = {name: {} for name in WAYS}
    for size in (size for size in SIZES if size <= options.most):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source"
            generate(source, size)
            for name, words in WAYS.items():
                one = found[name][size] = to_folder("compute", source, *words)
                print(
                    f"{size:>7} patients, {name}: {one.wall:.1f} s, {one.processor:.1f} s of CPU,"
                    f" {one.peak} MiB",
                    flush=True,
                )
    with tempfile.TemporaryDirectory() as folder:
        one_patient(Path(folder) / "source")
        one = to_folder("compute", Path(folder) / "source", "--workers", "1")
        print(f"one patient with {RESULTS} results: {one.processor:.1f} s of CPU, {one.peak} MiB")
    if options.picture is not None:
        draw(found, options.picture)


if __name__ == "__main__":
    main()
