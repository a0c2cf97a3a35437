"""Times ``compute --bulk`` against ``compute`` of the same folder plus the download alone.

    python -m benchmarks.bulk [--patients 5000] [--rounds 3]

The server answers from memory in a process of its own, so that what it costs is not ours. The ratio
is the median of paired rounds, at most 1.1.
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from generate import generate

from tests.unit.bulk_server import BulkServer

AS_OF = "2019-12-31"
GOAL = 1.1


def _serve(folder: Path, said: Connection) -> None:
    files = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.ndjson"))}
    with BulkServer(files, pending=0) as server:
        said.send(server.url)
        said.recv()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The base URL of a server that exports a folder."""
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(folder, theirs), daemon=True)
    process.start()
    try:
        yield mine.recv()
    finally:
        mine.send(None)
        process.join()


def seconds(*arguments: object) -> float:
    """Wall-clock time of a command."""
    started = time.perf_counter()
    words = [sys.executable, "-m", "fhircryo", *map(str, arguments)]
    subprocess.run(words, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> int:
    """Measure; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["FHIRCRYO_STATE_FOLDER"] = str(root / "state")
        source = root / "source"
        generate(source, options.patients)
        with serving(source) as url:
            for number in range(options.rounds):
                out = root / str(number)
                out.mkdir()
                same = ("--as-of", AS_OF, "--workers", "1")
                folder = seconds("compute", source, out / "folder", *same)
                download = seconds("export", url, out / "download")
                bulk = seconds("compute", url, out / "bulk", *same, "--bulk", "system")
                ratios.append(bulk / (folder + download))
                print(f"  folder {folder:.2f} s, download {download:.2f} s, bulk {bulk:.2f} s")
    ratio = statistics.median(ratios)
    print(f"bulk / (folder + download), {options.patients} patients: {ratio:.2f} (goal <= {GOAL})")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
