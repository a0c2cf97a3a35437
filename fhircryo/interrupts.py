"""Requests to stop: SIGTERM, SIGINT (Ctrl-C) and SIGHUP, each of which ends a command with code 7.

A signal raises KeyboardInterrupt in whatever code the main thread is running. Where that would
leave half of something, ``held`` puts it off to the end of a block.

Python may lose the exception: in a finalizer it is printed and the program continues, and a
callback of a C library may drop it. Therefore it is raised again if Python reports that it was
ignored, long loops ask ``asked_to_stop``, and a command that was asked to stop never ends with 0.

Source: https://docs.python.org/3/library/signal.html#handlers-and-exceptions
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

from fhircryo.errors import STOPPED

#: The signals that ask to stop. SIGHUP does not exist on every platform.
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
#: Seconds within which a further signal belongs to the same request: ``timeout`` and terminals
#: send a signal to a process and to its group.
_SAME_REQUEST = 1.0
#: Seconds after which the exception is raised again if Python ignored it.
_AGAIN = 0.02


@dataclass
class _Requests:
    """The requests to stop this process.

    ``process``: the process that handles them; a forked child ignores them, because its parent
    ends it. ``held``: how many blocks put them off. ``pending``: one was put off.
    """

    process: int = 0
    arrived: signal.Signals | None = None
    at: float = 0.0
    held: int = 0
    pending: bool = False
    handled: list[int] = field(default_factory=list)


_REQUESTS = _Requests()


def handle_signals() -> None:
    """Handle the signals that ask to stop from now on; for the start of a process.

    A signal that is ignored at the start stays ignored: ``nohup`` ignores SIGHUP, and a shell
    script starts its background jobs with SIGINT ignored. A second signal, later than a second
    after the first, ends the process at once.
    """
    _REQUESTS.process = os.getpid()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)
            _REQUESTS.handled.append(number)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _raise_again)
        sys.unraisablehook = _on_ignored


def ignore_signals() -> None:
    """Ignore the signals from now on: the exit code is decided, and the process is ending."""
    for number in _REQUESTS.handled:
        signal.signal(number, signal.SIG_IGN)


def asked_to_stop() -> signal.Signals | None:
    """Return the signal that asked this process to stop; None if none has arrived."""
    return _REQUESTS.arrived


@contextmanager
def held() -> Iterator[None]:
    """Put a request to stop off to the end of the block.

    Raises:
        KeyboardInterrupt: at the end of the outermost such block, if a request was put off in it.
    """
    hold()
    try:
        yield
    finally:
        _REQUESTS.held -= 1
    _raise_pending()


def hold() -> None:
    """Put requests to stop off without an end; ``asked_to_stop`` says whether there was one."""
    _REQUESTS.held += 1


@contextmanager
def stoppable() -> Iterator[None]:
    """Let a request to stop interrupt this block, although the code around it holds requests.

    Raises:
        KeyboardInterrupt: a request arrives in the block, or arrived before.
    """
    outer, _REQUESTS.held = _REQUESTS.held, 0
    try:
        _raise_pending()
        yield
    finally:
        _REQUESTS.held = outer


def _raise_pending() -> None:
    if _REQUESTS.pending and not _REQUESTS.held:
        _REQUESTS.pending = False
        raise KeyboardInterrupt


def _on_signal(number: int, _frame: FrameType | None) -> None:
    if os.getpid() != _REQUESTS.process:
        return
    if _REQUESTS.arrived is not None:
        if time.monotonic() - _REQUESTS.at > _SAME_REQUEST:
            _end_at_once()
        return
    _REQUESTS.arrived = signal.Signals(number)
    _REQUESTS.at = time.monotonic()
    _REQUESTS.pending = True
    _raise_pending()


def _end_at_once() -> None:
    with suppress(OSError):
        os.write(2, b"fhircryo: a second signal: ended at once\n")
    os._exit(STOPPED)


def _on_ignored(ignored: "sys.UnraisableHookArgs") -> None:
    """Raise the exception again, a moment later, if Python ignored it."""
    if isinstance(ignored.exc_value, KeyboardInterrupt) and _REQUESTS.arrived is not None:
        _REQUESTS.pending = True
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        return
    sys.__unraisablehook__(ignored)


def _raise_again(_number: int, _frame: FrameType | None) -> None:
    _raise_pending()


@contextmanager
def remembered_interrupts() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether a signal to stop has arrived since the block was entered.

    For loops that wait, also where the program that imports fhircryo handles the signals. The
    handlers that were installed before are still called, and are restored at the end. Signals
    that are ignored stay ignored, and those that end the process by default still do. Only the
    main thread can install a handler: in another thread the answer is no.
    """
    # A list and no threading.Event: a handler runs within the code that may hold the event's lock.
    arrived: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def remember(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        handler = before[number]
        if callable(handler):
            handler(number, frame)

    watched = [number for number, handler in before.items() if callable(handler)]
    try:
        for number in watched:
            signal.signal(number, remember)
        yield lambda: bool(arrived)
    finally:
        for number in watched:
            signal.signal(number, before[number])
