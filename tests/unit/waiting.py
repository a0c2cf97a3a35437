"""Waiting for a target's search index that takes no time: the clock goes on by waiting alone."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from fhircryo.publish import (
    delivery,
    identifier_search,
    known_ids,
    missing_provenance,
    patience,
    target_trial,
)
from tests.unit import stub_target

#: Who looks at the clock of the index: those who write and search, and the stub whose index lags.
_MODULES = (
    delivery,
    identifier_search,
    known_ids,
    missing_provenance,
    patience,
    target_trial,
    stub_target,
)
#: Seconds: other threads go on meanwhile.
_REALLY = 0.0005


class WaitedTime:
    """Stands in for the module ``time``: an index that lags never catches up by itself."""

    def __init__(self) -> None:
        self._now = time.time()
        self._lock = threading.Lock()

    def time(self) -> float:
        return self._now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        """Let the time pass; threads that wait at the same time wait together."""
        end = self._now + seconds
        time.sleep(_REALLY)  # so that other threads run meanwhile
        with self._lock:
            self._now = max(self._now, end)


@contextmanager
def only_waiting_takes_time() -> Iterator[None]:
    """Have the index of a target lag, and be waited for, by such a clock."""
    clock = WaitedTime()
    with ExitStack() as stack:
        for module in _MODULES:
            stack.enter_context(mock.patch.object(module, "time", clock))
        yield
