"""A deadline for a response as a whole, beside the time-out for the wait between two bytes.

Without it, a server that sends a byte a second is read for ever.
"""

import http.client
import io
import time
from typing import Any


class DeadlineError(OSError):
    """A response did not arrive within its deadline."""


class Deadline:
    """How long a response may take.

    ``seconds``: the longest time. ``renewed_by``: the number of bytes whose arrival starts the time
    again, for files whose size is not known; None: nothing does.
    """

    def __init__(self, seconds: float, renewed_by: int | None = None) -> None:
        self.seconds = seconds
        self.renewed_by = renewed_by


class _TimedReader(io.RawIOBase):
    """Reads a socket until its deadline; every arrival of bytes is checked."""

    def __init__(self, raw: io.RawIOBase, deadline: Deadline) -> None:
        self._raw = raw
        self._deadline = deadline
        self._end = time.monotonic() + deadline.seconds
        self._since = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if time.monotonic() > self._end:
            raise DeadlineError
        count = self._raw.readinto(buffer)
        self._since += count or 0
        renewed_by = self._deadline.renewed_by
        if renewed_by is not None and self._since >= renewed_by:
            self._since = 0
            self._end = time.monotonic() + self._deadline.seconds
        return count

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


def timed_response(deadline: Deadline, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
    """Return an HTTP response, from its status line on, that must arrive within a deadline.

    The other arguments are those of ``http.client.HTTPResponse``. A read that is over the deadline
    raises a DeadlineError.
    """
    response = http.client.HTTPResponse(*args, **kwargs)
    reader: io.BufferedReader = response.fp
    response.fp = io.BufferedReader(_TimedReader(reader.detach(), deadline))
    return response
