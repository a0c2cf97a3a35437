"""The streams of a command: what happens when they cannot be written.

What a command prints on stdout is its result. If the reader has gone, as in ``| head``, nobody
misses the rest, and the command ends with 0. If the result cannot be written otherwise, for example
because the disk is full, that is an error.

What it prints on stderr is for people. A run does not fail because nobody reads it or because the
disk with the log is full: the exit code and the status file say how the run ended.
"""

import io
import os
import sys
from typing import Any, BinaryIO, NoReturn, TextIO

from fhircryo.errors import DONE, TargetError

_STDOUT = 1


def check_streams() -> None:
    """Replace ``sys.stdout`` and ``sys.stderr`` of this process; for the start of a process."""
    if sys.stdout is not None:
        sys.stdout = _Results(_buffered(sys.stdout.buffer), **_as_before(sys.stdout))
    if sys.stderr is not None:
        sys.stderr = _Messages(_buffered(sys.stderr.buffer), **_as_before(sys.stderr))


def _buffered(binary: BinaryIO) -> BinaryIO:
    """Add the buffer that PYTHONUNBUFFERED removes: without it, a partial write loses the rest."""
    return io.BufferedWriter(binary) if isinstance(binary, io.RawIOBase) else binary


def _as_before(stream: TextIO) -> dict[str, Any]:
    """The arguments that make a stream like another."""
    return {
        "encoding": stream.encoding,
        "errors": stream.errors,
        "line_buffering": stream.line_buffering or getattr(stream, "write_through", False),
    }


class _Results(io.TextIOWrapper):
    """stdout: ends the command if its reader has gone, and raises TargetError for other errors."""

    _failed: OSError | None = None

    def write(self, text: str) -> int:
        written = 0
        if self._failed is None:
            try:
                written = super().write(text)
            except OSError as error:
                self._note(error)
        if self._failed is not None:
            _end(self._failed)  # at every write: some callers try one and ignore how it ends
        return written

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._note(error)
        else:
            return
        if self._failed is not None:
            _end(self._failed)

    def _note(self, error: OSError) -> None:
        self._failed = error
        # Python flushes the stream once more at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)


def _end(error: OSError) -> NoReturn:
    """Raise what ends the command; outside of an except block, so that it has no context."""
    if isinstance(error, BrokenPipeError):
        raise SystemExit(DONE)
    raise TargetError(f"standard output: cannot be written: {error.strerror or error}")


class _Messages(io.TextIOWrapper):
    """stderr: what cannot be written is dropped."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            return
