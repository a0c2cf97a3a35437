"""Runs a task in several processes, which share the memory of this one by forking."""

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from fhircryo.errors import BUG
from fhircryo.interrupts import held

#: Whether several processes can be used. Forked children see the records without copying or
#: pickling them; on other platforms one process does all the work.
CAN_FORK = sys.platform.startswith("linux")

_MEMINFO = Path("/proc/meminfo")
#: The memory limit of a container, in bytes or ``max``.
#: Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")

_PR_SET_PDEATHSIG = 1

#: The first byte of a message from a child to its parent.
_RESULT, _OS_ERROR, _FAILURE = b"=", b"%", b"!"


def available_memory() -> int | None:
    """Bytes of memory that the machine, or its container, has available; None if unknown."""
    found = []
    with suppress(OSError, ValueError, StopIteration):
        lines = _MEMINFO.read_text().splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(int(available.split()[1]) * 1024)
    with suppress(OSError, ValueError):
        found.append(int(_CONTAINER_LIMIT.read_text()))
    return min(found, default=None)


class WorkerError(Exception):
    """A child process failed with an unexpected error, or ended without a result."""


class Turns:
    """The numbers 0 to count - 1, distributed over processes: each process takes the next one."""

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


def in_parallel(task: Callable[[int], bytes], workers: int) -> list[bytes]:
    """The results of ``task(0)`` to ``task(workers - 1)``, in this order.

    ``task(0)`` runs in this process, the others run in forked children.

    Raises:
        OSError: a child raised it; with the same error number.
        WorkerError: a child failed otherwise; its message is the child's traceback.
    """
    context = multiprocessing.get_context("fork")
    children: list[tuple[BaseProcess, Connection]] = []
    parent = os.getpid()
    try:
        for number in range(1, workers):
            receiver, sender = context.Pipe(duplex=False)
            child = context.Process(
                target=_run_child, args=(task, number, sender, parent), daemon=True
            )
            with held():  # a child that was started is in the list
                child.start()
                children.append((child, receiver))
            sender.close()
        results = [task(0)]
        results += [_receive(child, receiver) for child, receiver in children]
    finally:
        for process, pipe in children:
            pipe.close()
            process.kill()  # it ignores the signals that ask to stop
            process.join()
    return results


def _run_child(task: Callable[[int], bytes], number: int, sender: Connection, parent: int) -> None:
    _die_with(parent)
    try:
        sender.send_bytes(_RESULT + task(number))
    except OSError as error:  # The parent raises it again, for example for a full disk.
        sender.send_bytes(_OS_ERROR + b"%d" % (error.errno or 0))
    except BaseException:
        sender.send_bytes(_FAILURE + traceback.format_exc().encode())


def _die_with(parent: int) -> None:
    """Make the system kill this process when its parent ends in whatever way.

    Source: https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(BUG)


def _receive(child: BaseProcess, receiver: Connection) -> bytes:
    try:
        message = receiver.recv_bytes()
    except EOFError:
        child.join()
        raise WorkerError(f"a worker process ended with exit code {child.exitcode}") from None
    status, content = message[:1], message[1:]
    if status == _OS_ERROR:
        number = int(content)
        raise OSError(number, os.strerror(number))
    if status == _FAILURE:
        raise WorkerError(content.decode())
    return content
