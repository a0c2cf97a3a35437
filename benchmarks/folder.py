"""Times ``compute`` on a folder against bare decoding and encoding of the same.

    python benchmarks/folder.py [--patients 10000] [--rounds 3]

The reference, in the same run and process, decodes every input line into the same structs and
builds and encodes as many Observations as come out. Printed are ratios of wall-clock times (the
median of paired rounds), the peak memory of a run of its own, and the start of ``--help`` against
that of a bare Typer application.
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

sys.path.insert(0, str(Path(__file__).parent))
from generate import generate

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
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.to_folder import compute_folder
from fhircryo.settings import Settings

AS_OF = date(2019, 12, 31)
GOALS = {1: 2.0, 2: 1.3}


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
            OutMeta([OutCoding(f"{base}/CodeSystem/tag", "research-use")]),
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


def compare(folder: Path, rounds: int) -> None:
    """Print the ratios of ``compute`` with one and two workers to the reference."""
    job = RunConfig.of(Settings.model_construct(), AS_OF)
    with tempfile.TemporaryDirectory() as out:
        target = Path(out) / "endpoints"
        summary = compute_folder(folder, target, job)
        ratios: dict[int, list[float]] = {workers: [] for workers in GOALS}
        for _ in range(rounds):
            for workers in GOALS:
                decoding = timed(lambda: decode_all(folder))
                encoding = timed(lambda: encode_all(summary.observations))
                shutil.rmtree(target)
                ours = timed(
                    lambda n=workers: compute_folder(folder, target, job, Execution(workers=n))
                )
                ratios[workers].append(ours / (decoding + encoding))
                print(
                    f"  workers {workers}: {ours:.2f} s; reference {decoding + encoding:.2f} s"
                    f" (decode {decoding:.2f}, encode {encoding:.2f})"
                )
        print(f"resources {summary.resources}, endpoints {summary.observations}")
        for workers, goal in GOALS.items():
            ratio = statistics.median(ratios[workers])
            print(f"compute, {workers} worker(s) / reference: {ratio:.2f} (goal <= {goal})")


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
    with tempfile.TemporaryDirectory() as out:
        folder = Path(out) / "cohort"
        generate(folder, options.patients)
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"{options.patients} patients, {size >> 20} MiB; msgspec {msgspec.__version__}")
        print(f"peak memory, 1 worker: {peak_memory(folder)} MiB")
        compare(folder, options.rounds)
    print(f"--help / bare Typer application: {start_ratio(11):.2f} (goal <= 1.5)")


if __name__ == "__main__":
    main()
