"""Times ``compute`` on a folder against bare decoding and encoding of the same.

    python -m benchmarks.folder [--patients 10000] [--rounds 3]

The reference, in the same run and process, decodes every input line into the same structs and
builds and encodes as many Observations as come out. Printed are the ratios of wall-clock times and
of processor times of all processes (medians of paired rounds, with the smallest and largest), the
peak memory of a run of its own, and the start of ``--help`` against that of a bare Typer
application. A goal is one of wall-clock time on a quiet machine; on a busy one look at the
processor time of one process.
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec

from benchmarks.generate import generate
from benchmarks.measured import processor_name, spread, verdict
from fhircryo.fhir.wire import DECODERS
from fhircryo.publish.shapes import (
    ENCODER,
    OutCoding,
    OutComponent,
    OutConcept,
    OutIdentifier,
    OutMeta,
    OutObservation,
    OutPeriod,
    OutQuantity,
    OutReference,
)
from fhircryo.runs.execution import Execution
from fhircryo.runs.read_source import ReadOptions, no_garbage_collection, read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.to_folder import compute_folder
from fhircryo.settings import Settings

AS_OF = date(2019, 12, 31)
GOALS = {1: 2.0, 2: 1.25}


def decode_all(folder: Path) -> int:
    """Decode every line into the structs that are read."""
    lines = 0
    for path in sorted(folder.glob("*.ndjson")):
        decode = DECODERS[path.stem].decode
        with path.open("rb") as file:
            for line in file:
                decode(line)
                lines += 1
    return lines


def encode_all(count: int) -> int:
    """Build and encode as many Observations as come out, all parts of each."""
    base = "https://w3id.org/fhircryo"
    size = 0
    for number in range(count):
        name = f"e{number:032x}"
        observation = OutObservation(
            name,
            OutMeta(tag=[OutCoding(f"{base}/CodeSystem/tag", "research-use")]),
            [OutIdentifier(f"{base}/endpoint", name)],
            "final",
            [OutConcept([OutCoding(f"{base}/CodeSystem/category", "derived-endpoint")])],
            OutConcept([OutCoding(f"{base}/CodeSystem/endpoint", "psa-nadir")], "PSA nadir"),
            OutReference(f"Patient/{number}"),
            part_of=[OutReference(f"Procedure/{number}")],
            effective_period=OutPeriod("2016-01-10", "2017-01-10"),
            value_quantity=OutQuantity(
                Decimal("0.4"), "ng/mL", "http://unitsofmeasure.org", "ng/mL"
            ),
            method=OutConcept(text="bomers-2020 1.0"),
            device=OutReference("Device/fhircryo"),
            derived_from=[OutReference(f"Observation/{number}")],
            component=[
                OutComponent(
                    OutConcept([OutCoding(f"{base}/CodeSystem/component", "nadir")]),
                    value_quantity=OutQuantity(
                        Decimal("0.4"), "ng/mL", "http://unitsofmeasure.org", "ng/mL"
                    ),
                )
            ],
        )
        size += len(ENCODER.encode(observation))
    return size


def timed(work: Callable[[], object]) -> float:
    """Wall-clock seconds of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def processor() -> float:
    """Processor time so far of this process and of those that it started and that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def compare(folder: Path, rounds: int) -> None:
    """Print the ratios of ``compute`` with one and two workers to the reference."""
    job = RunConfig.of(Settings.model_construct(), AS_OF)
    with tempfile.TemporaryDirectory() as out:
        target = Path(out) / "endpoints"
        summary = compute_folder(folder, target, job)
        ratios: dict[int, list[tuple[float, float]]] = {workers: [] for workers in GOALS}
        for _ in range(rounds):
            for workers in GOALS:
                before = processor()
                decoding = timed(lambda: decode_all(folder))
                encoding = timed(lambda: encode_all(summary.observations))
                reference = processor() - before
                shutil.rmtree(target)
                before = processor()
                ours = timed(
                    lambda n=workers: compute_folder(folder, target, job, Execution(workers=n))
                )
                worked = processor() - before
                wall = decoding + encoding
                ratios[workers].append((ours / wall, worked / reference))
                print(
                    f"  workers {workers}: {ours:.2f} s, {worked:.2f} s of CPU; reference"
                    f" {wall:.2f} s (decode {decoding:.2f}, encode {encoding:.2f}),"
                    f" {reference:.2f} s of CPU"
                )
        print(f"resources {summary.resources}, endpoints {summary.observations}")
        for workers, goal in GOALS.items():
            walls, worked = zip(*ratios[workers], strict=True)
            met = verdict(statistics.median(walls), goal)
            print(
                f"compute, {workers} worker(s) / reference: {spread(walls)} {met};"
                f" by CPU {spread(worked)}"
            )


def stages(folder: Path) -> None:
    """Print what a computation in one process consists of."""
    job = RunConfig.of(Settings.model_construct(), AS_OF)
    start = processor()
    read = read_source(folder, job, ReadOptions(workers=1))
    reading = processor() - start
    with no_garbage_collection():
        start = processor()
        for record in read.records.records.values():
            job.endpoints(record, read.lacking)
        computing = processor() - start
    print(f"CPU of one process: {reading:.2f} s to read, {computing:.2f} s to compute endpoints")


def peak_memory(folder: Path) -> int:
    """Peak memory of a ``compute`` of its own, MiB."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "fhircryo", "compute", str(folder), f"{out}/endpoints"]
        subprocess.run(
            [*command, "--as-of", str(AS_OF), "--workers", "1"], check=True, capture_output=True
        )
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def start_ratio(rounds: int) -> float:
    """How much longer ``fhircryo --help`` takes than that of a Typer application of one command."""
    bare = textwrap.dedent(
        '''
        import typer
        app = typer.Typer()
        @app.command()
        def hello(name: str) -> None:
            """Say hello."""
        app()
        '''
    )
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(bare)

        def run(*arguments: str) -> float:
            command = [sys.executable, *arguments, "--help"]
            return timed(lambda: subprocess.run(command, check=True, capture_output=True))

        run(str(script)), run("-m", "fhircryo")
        pairs = [run("-m", "fhircryo") / run(str(script)) for _ in range(rounds)]
    return statistics.median(pairs)


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(processor_name())
    with tempfile.TemporaryDirectory() as out:
        folder = Path(out) / "cohort"
        generate(folder, options.patients)
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"{options.patients} patients, {size >> 20} MiB; msgspec {msgspec.__version__}")
        print(f"peak memory, 1 worker: {peak_memory(folder)} MiB")
        compare(folder, options.rounds)
        stages(folder)
    print(f"--help / bare Typer application: {start_ratio(11):.2f} (goal <= 1.5)")


if __name__ == "__main__":
    main()
