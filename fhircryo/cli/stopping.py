"""How a command ends that was asked to stop: one line on stderr, and exit code 7."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGINT

from fhircryo.cli.printing import say
from fhircryo.errors import STOPPED
from fhircryo.interrupts import asked_to_stop, handle_signals, hold, ignore_signals

#: What is kept of a command that was stopped, and what its next run does.
_KEPT = {
    "compute": "A target folder is as it was before, or complete; what was written to a server is"
    " kept, and the next run writes the rest.",
    "push": "What was written to the server is kept; the next run writes the rest.",
    "cohort": "The folder is as it was before, or complete; the next run writes it anew.",
    "export": "The export is cancelled and nothing is kept of it, or it was complete; the next run"
    " asks for a new one.",
    "sync": "What was written to the target is kept; the next run writes the rest.",
    "hapi": "The server has ended, and its data are gone.",
    "forget": "What was deleted stays deleted; run the command again to delete the rest.",
}
_OTHERWISE = "What was written before is kept whole; run the command again."


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Run a command in this block; a signal that asks to stop ends it, and then the process.

    For the process of the command only: from the end of the block, signals are ignored.
    """
    try:
        try:
            handle_signals()
            yield
        finally:
            hold()
    except KeyboardInterrupt:
        _end()
    except BaseException:
        if asked_to_stop() is not None:
            _end()
        ignore_signals()
        raise
    if asked_to_stop() is not None:
        _end()
    ignore_signals()


def why_stopped(command: str) -> str:
    """Say which signal stopped a command, what is kept, and what the next run does."""
    return f"{_stopped()}. {_KEPT.get(command, _OTHERWISE)}"


def why_stopped_early() -> str:
    """Say which signal stopped a scheduled run before it wrote, and what the next run does."""
    return (
        f"{_stopped()} before anything was written. What was read by searches is not kept: the next"
        " run begins from the start. If every run is stopped, allow it more time."
    )


def _stopped() -> str:
    return f"stopped by {(asked_to_stop() or SIGINT).name}"


def _end() -> None:
    """Say what stopped the command and what is kept, and end the process."""
    ignore_signals()
    say(f"fhircryo: {why_stopped(next(iter(sys.argv[1:]), ''))}", err=True)
    # Threads that still wait for a server are not waited for.
    os._exit(STOPPED)
