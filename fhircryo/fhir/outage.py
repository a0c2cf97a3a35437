"""How long a run goes on trying while a server lets no request pass."""

import threading
import time


class Outage:
    """The present outage of a server: one budget for all requests of a run to it.

    Each request tries again for as long as the budget allows, counted from the first failure after
    which none succeeded. A success ends the outage, so that a long run outlasts a server that is
    often busy. Where a request was given up and the run goes on without it, the next outage has
    half of the time: such requests cost a run twice the budget at most, however many there are.

    Several threads may use it.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._since: float | None = None
        self._share = 1.0
        self._given_up = False

    def over(self) -> None:
        """Note that the server has answered."""
        with self._guard:
            if self._given_up:
                self._share /= 2
            self._since, self._given_up = None, False

    def allows(self, wait: float, budget: float, deadline: float, *, own: bool = False) -> bool:
        """Whether a request that failed may be tried again after a wait.

        ``wait``, ``budget``: in seconds. ``deadline``: until when this request may be tried, by the
        monotonic clock. ``own``: by a budget of its own: that the request is given up then, says
        nothing of the others.
        """
        now = time.monotonic()
        if own and now + wait > deadline:
            return False
        with self._guard:
            if self._since is None:
                self._since = now
            if now + wait <= min(deadline, self._since + budget * self._share):
                return True
            self._given_up = True
            return False
