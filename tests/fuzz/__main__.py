"""``python -m tests.fuzz``: runs the program on mutated inputs until the time is over."""

import argparse
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.checks import check
from tests.fuzz.inputs import Input, made
from tests.fuzz.minimise import minimised
from tests.fuzz.oracles import Finding
from tests.fuzz.program import quick_runs
from tests.fuzz.seeds import ROOT

BUILD = ROOT / "build" / "fuzz"
#: Seconds after which an input is stopped: it hangs.
_LONGEST = 120
#: The growth of this process's memory by one input that is a finding, in kilobytes.
_MEMORY = 500_000


class Fuzzer:
    """Checks inputs one after another, and keeps the first of each kind of finding."""

    def __init__(self, work: Path, keep: Path) -> None:
        self._work = work
        self._keep = keep
        self.inputs = 0
        self.found: Counter[str] = Counter()

    def one(self, name: str) -> Finding | None:
        """Check the input of a name; a finding is reported, made smaller, and kept."""
        self.inputs += 1
        given = made(name)
        finding = self._check(given)
        if finding is None:
            return None
        self.found[finding.kind] += 1
        print(f"{name}: {finding.kind}", flush=True)
        if self.found[finding.kind] == 1:
            kind = finding.kind

            def fails(smaller: Input) -> bool:
                again = self._check(smaller)
                return again is not None and again.kind == kind

            self._save(minimised(given, fails), finding)
        return finding

    def _check(self, given: Input) -> Finding | None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.alarm(_LONGEST)
        try:
            finding = check(given, self._work / "input")
        finally:
            signal.alarm(0)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        if finding is None and grown > _MEMORY:
            return Finding("memory", f"{grown} kB more")
        return finding

    def _save(self, given: Input, finding: Finding) -> None:
        folder = self._keep / "".join(c if c.isalnum() else "-" for c in finding.kind)
        shutil.rmtree(folder, ignore_errors=True)
        given.write(folder / "in")
        if given.others:
            given.write(folder / "others", given.others)
        if given.document is not None:
            (folder / given.document.name).write_bytes(given.document.content)
        words = f"input {given.name}, as of {given.as_of}, overlay {given.overlay}\n{finding}\n"
        (folder / "finding.txt").write_text(words, encoding="utf-8", errors="backslashreplace")


def _stop(signum: int, frame: Any) -> None:
    raise TimeoutError("the input takes too long")


def fuzz(seed: str, seconds: float, keep: Path, say: Callable[[str], None] = print) -> Fuzzer:
    """Check the inputs ``seed:0``, ``seed:1``, ... until the time is over."""
    signal.signal(signal.SIGALRM, _stop)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as work, quick_runs(Path(work)):
        fuzzer = Fuzzer(Path(work), keep)
        end = time.monotonic() + seconds
        told = time.monotonic()
        while time.monotonic() < end:
            fuzzer.one(f"{seed}:{fuzzer.inputs}")
            if time.monotonic() - told > 60:
                told = time.monotonic()
                say(f"{fuzzer.inputs} inputs, findings: {dict(fuzzer.found)}")
    return fuzzer


def main() -> int:
    """Run the fuzzer as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", default="1", help="the inputs are SEED:0, SEED:1, ...")
    parser.add_argument("--input", help="only this input, for example 1:42")
    given = parser.parse_args()
    if given.input:
        signal.signal(signal.SIGALRM, _stop)
        with tempfile.TemporaryDirectory(prefix="fuzz-") as work, quick_runs(Path(work)):
            finding = Fuzzer(Path(work), BUILD).one(given.input)
        print(finding or "nothing found")
        return 1 if finding else 0
    print(f"seed {given.seed}", flush=True)
    done = fuzz(given.seed, given.seconds, BUILD)
    print(f"{done.inputs} inputs, seed {given.seed}")
    for kind, number in done.found.most_common():
        print(f"{number:>6}  {kind}")
    if done.found:
        print(f"The first input of each kind is in {BUILD}; again: make fuzz INPUT=SEED:NUMBER")
    return 1 if done.found else 0


if __name__ == "__main__":
    sys.exit(main())
