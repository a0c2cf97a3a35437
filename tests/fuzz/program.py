"""Runs ``fhircryo`` in this process, as its command does, and watches what it does."""

import io
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from unittest import mock

from fhircryo.cli.main import run as run_command
from fhircryo.mapping import load
from fhircryo.runs import drivers, run_config, to_folder
from fhircryo.sources import folder_source
from tests.quick import shipped_files_read_once

#: A secret that no output may contain: it is in the environment of every run.
SECRET = "s3cret-of-the-fuzzer"


@dataclass(frozen=True)
class Run:
    """What a run of the program did: its exit code, its words, and the CPU time in seconds."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float


def run(*arguments: str | Path) -> Run:
    """Run the program with arguments, in this process."""
    words = tuple(map(str, arguments))
    # Standard output refuses what UTF-8 cannot hold; standard error escapes it.
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(
        io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True
    )
    started = time.process_time()
    with (
        mock.patch.object(sys, "argv", ["fhircryo", *words]),
        mock.patch.object(sys, "stdout", out),
        mock.patch.object(sys, "stderr", err),
    ):
        code = _exit_code()
    seconds = time.process_time() - started
    for handler in logging.getLogger("fhircryo").handlers:
        handler.close()
    return Run(words, code, _content(out), _content(err), seconds)


def _exit_code() -> int:
    try:
        run_command()
    except SystemExit as stop:
        if stop.code is None:
            return 0
        return stop.code if isinstance(stop.code, int) else 1
    return 0


def _content(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8")


#: A run with the same overlays needs the same mappings; making them takes most of a run's time.
_load_once = lru_cache(16)(load.load_mappings)


@contextmanager
def quick_runs(folder: Path) -> Iterator[None]:
    """Runs in this process that parse shipped files once, wait for no disk, and know no settings.

    ``folder``: becomes the current folder, in which there must be no settings.
    """
    before = Path.cwd()
    os.chdir(folder)
    with ExitStack() as stack:
        stack.enter_context(shipped_files_read_once())
        stack.enter_context(mock.patch.object(run_config, "load_mappings", _load_once))
        stack.enter_context(mock.patch.object(os, "fsync", return_value=None))
        kept = {name: value for name, value in os.environ.items() if "FHIRCRYO_" not in name}
        kept["FHIRCRYO_SOURCE__HEADERS"] = f'{{"X-Key": "{SECRET}"}}'
        stack.enter_context(mock.patch.dict(os.environ, kept, clear=True))
        try:
            yield
        finally:
            os.chdir(before)


@contextmanager
def shared_among_processes() -> Iterator[None]:
    """Runs that share the smallest input among processes, by parts of a few lines."""
    with (
        mock.patch.object(drivers, "_WORTH_SHARING", 0),
        mock.patch.object(to_folder, "_PATIENTS_PER_WORKER", 1),
        mock.patch.object(folder_source, "PART_SIZE", 3_000),
    ):
        yield
