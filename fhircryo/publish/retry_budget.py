"""How long a run may go on trying while a target lets nothing pass."""

import logging
import time

from fhircryo.fhir.client import backoff

LOG = logging.getLogger("fhircryo.target")


class RetryBudget:
    """One budget for all requests that a run writes to a server.

    It is the time since the first failure after which nothing was written. When something is
    written the time starts anew, so that a long run outlasts a server that is often busy.

    ``seconds``: the setting ``retry_budget``.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._failing_since: float | None = None

    def progress(self) -> None:
        """Note that something was written."""
        self._failing_since = None

    def pause(self, seconds: float) -> None:
        """Leave out time that passed in waiting for the index of the target."""
        if self._failing_since is not None:
            self._failing_since += seconds

    def wait(self, attempt: int, retry_after: float | None, why: str) -> bool:
        """Wait before the next attempt; False, without waiting, if the budget would be exceeded."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        wait = backoff(attempt) if retry_after is None else retry_after
        if now + wait > self._failing_since + self._seconds:
            return False
        LOG.info("writing again in %.1f s (%s)", wait, why)
        time.sleep(wait)
        return True
