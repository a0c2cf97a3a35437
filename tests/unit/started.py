"""Commands that run as processes of their own and are sent real signals."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

#: The process says when it handles signals, which is some milliseconds after its start. No command
#: can promise anything before that.
_START = """
import os, sys
from fhircryo.cli import stopping
handle = stopping.handle_signals
def handle_and_say():
    handle()
    os.write({ready}, b"!")
    os.close({ready})
stopping.handle_signals = handle_and_say
sys.argv[0] = "fhircryo"
from fhircryo.__main__ import run
run()
"""


class Started:
    """A command in a process group of its own."""

    def __init__(self, folder: Path, *arguments: object, before: str = "", **environment: str):
        reading, writing = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", before + _START.format(ready=writing), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "FHIRCRYO_STATE_FOLDER": str(folder / "state"), **environment},
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read() == b"!"

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, seconds: float = 60) -> tuple[int, str]:
        """Wait until the command ends; return its exit code and what it wrote on stderr."""
        _, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, err

    def has_left_processes(self) -> bool:
        """Whether processes of the group are alive, after waiting a moment for their end."""
        for _ in range(100):
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.02)
        return True


@contextlib.contextmanager
def started(
    folder: Path, *arguments: object, before: str = "", **environment: str
) -> Iterator[Started]:
    """A command that is killed at the end of the block if it has not ended.

    ``before``: code that the process runs first.
    """
    command = Started(folder, *arguments, before=before, **environment)
    try:
        yield command
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.process.pid, signal.SIGKILL)
        command.process.communicate()
