"""Remembers an interrupt (SIGINT, Ctrl-C) that Python may lose.

Python raises KeyboardInterrupt in whatever code the main thread is running. In a finalizer, or in a
callback of a C library, that exception is printed or dropped and the program continues.

Source: https://docs.python.org/3/library/signal.html#handlers-and-exceptions
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def remembered_interrupts() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether an interrupt has arrived since the block was entered.

    The handler that was installed before is still called, and is restored at the end. A process
    that was started with SIGINT ignored, as a background job of a shell script is, continues to
    ignore it. Only the main thread can install a handler: in another thread the answer is no.
    """
    # A list and no threading.Event: a handler runs within the code that may hold the event's lock.
    arrived: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: False
        return

    def remember(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        before(number, frame)

    signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: bool(arrived)
    finally:
        signal.signal(signal.SIGINT, before)
