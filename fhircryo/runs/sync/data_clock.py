"""The clock that stamps a server's resources, beside the time that the server states of itself.

The header ``Date`` and ``meta.lastUpdated`` may come from two clocks: a proxy's and a database's,
or those of two nodes (LinuxForHealth FHIR issue 3690). A watermark taken from a clock that is ahead
of the data's loses what was written in between. A resource that was read proves how far the stated
time is ahead at most: its stamp was in the past by the data's clock when it was read.
"""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from fhircryo.calendar import moment

#: A stamp that is later than this machine's time by more than this is a mistake, not another clock.
_CREDIBLE = timedelta(days=1)
#: A stamp before this is none; FHIR is younger.
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
#: The header Date has whole seconds.
_RESOLUTION = 1.0


class DataClock:
    """Compares the stamps of the resources that a run reads with the time that the server states.

    Made before the first request to the server. ``overlap``: seconds before a watermark that are
    read again, for resources that were committed late. ``newest``: the newest stamp that was read;
    None: no resource had one.
    """

    def __init__(self, overlap: float) -> None:
        self._overlap = timedelta(seconds=overlap)
        self._started = time.monotonic()
        self.newest: datetime | None = None
        #: The newest stamp, less the time from the start of the run until it was read.
        self._at_start: datetime | None = None

    def since(self, watermark: str) -> datetime:
        """The time from which changes are read, for the watermark of the last run."""
        return moment(watermark) - self._overlap

    def see(self, stamps: Iterable[str | None]) -> None:
        """Take the ``meta.lastUpdated`` of resources that were just read."""
        latest = datetime.now(UTC) + _CREDIBLE
        elapsed = timedelta(seconds=time.monotonic() - self._started)
        times = {moment(stamp) for stamp in set(stamps) if stamp}
        credible = [one for one in times if _EARLIEST <= one <= latest]
        if not credible:
            return
        newest = max(credible)
        self.newest = newest if self.newest is None else max(self.newest, newest)
        at_start = newest - elapsed
        self._at_start = at_start if self._at_start is None else max(self._at_start, at_start)

    def ahead(self, stated: datetime | None) -> float | None:
        """The seconds by which the stated time is ahead of the data's clock, at most.

        ``stated``: the server's time in its first response. None: it is not known. Never negative:
        where the data's clock is ahead, the stated time is safe.
        """
        if stated is None or self._at_start is None:
            return None
        return max(0.0, (stated - self._at_start).total_seconds() + _RESOLUTION)

    def watermark(self, stated: datetime | None, ahead: float | None) -> datetime | None:
        """The time by the data's clock up to which the run has read; None if nothing tells it.

        ``ahead``: what is known of ``ahead`` from this run and earlier ones.
        """
        if stated is None:
            return self._at_start
        return stated - timedelta(seconds=ahead or 0.0)
