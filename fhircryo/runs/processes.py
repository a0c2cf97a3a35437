"""The same job in several processes that share what stood in memory before."""

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

# Forked children see the records without copying or pickling them; elsewhere one process works.
CAN_FORK = sys.platform.startswith("linux")


_MEMORY = Path("/proc/meminfo")
#: Of a container; source: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory
_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def available_memory() -> int | None:
    """Bytes that processes may take before the machine, or the container, is out of memory."""
    found = []
    with suppress(OSError, ValueError, StopIteration):
        lines = _MEMORY.read_text().splitlines()
        told = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(int(told.split()[1]) * 1024)
    with suppress(OSError, ValueError):
        found.append(int(_CONTAINER.read_text()))
    return min(found, default=None)


class WorkerError(Exception):
    """A child process ended in an error of the program."""


class Turns:
    """Numbers 0 .. count - 1, each handed out once to whichever process asks first."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._next = multiprocessing.get_context("fork" if CAN_FORK else None).Value("q", 0)

    def __iter__(self) -> Iterator[int]:
        while True:
            with self._next.get_lock():
                number = self._next.value
                self._next.value = number + 1
            if number >= self._count:
                return
            yield number


def in_parallel(job: Callable[[int], bytes], workers: int) -> list[bytes]:
    """Run ``job(0)`` .. ``job(workers - 1)``, the first here, the others in forked children.

    Raises:
        OSError: as a child met it.
        WorkerError: a child failed otherwise; with its traceback.
    """
    context = multiprocessing.get_context("fork")
    children: list[tuple[BaseProcess, Connection]] = []
    for number in range(1, workers):
        mine, theirs = context.Pipe(duplex=False)
        started = context.Process(target=_child, args=(job, number, theirs), daemon=True)
        started.start()
        theirs.close()
        children.append((started, mine))
    try:
        results = [job(0)]
        results += [_receive(child, connection) for child, connection in children]
    finally:
        for process, pipe in children:
            pipe.close()
            process.terminate()
            process.join()
    return results


def _child(job: Callable[[int], bytes], number: int, connection: Connection) -> None:
    try:
        connection.send_bytes(b"=" + job(number))
    except OSError as error:  # the parent raises it again: a full disk, say
        connection.send_bytes(b"%%%d" % (error.errno or 0))
    except BaseException:
        connection.send_bytes(b"!" + traceback.format_exc().encode())


def _receive(child: multiprocessing.process.BaseProcess, connection: Connection) -> bytes:
    try:
        message = connection.recv_bytes()
    except EOFError:
        child.join()
        raise WorkerError(f"a worker process ended with exit code {child.exitcode}") from None
    if message[:1] == b"%":
        code = int(message[1:])
        raise OSError(code, os.strerror(code))
    if message[:1] == b"!":
        raise WorkerError(message[1:].decode())
    return message[1:]
