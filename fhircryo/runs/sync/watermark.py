"""The watermark of a run: the time, by the clock of the data, up to which the source was read."""

from dataclasses import dataclass
from datetime import UTC, datetime

from fhircryo.calendar import moment
from fhircryo.fhir.search import Searcher
from fhircryo.fhir.wire import DECODERS
from fhircryo.runs.sync.server_time import as_instant, server_time
from fhircryo.runs.sync.state_database import State
from fhircryo.runs.sync.steps import SyncSteps

_AHEAD = "clock-ahead"


@dataclass(frozen=True)
class Watermark:
    """``time``: None: nothing tells it, and an earlier watermark stays.

    ``ahead``: the seconds by which the server's stated time is ahead of the data's clock, at most;
    None: not known.
    """

    time: datetime | None
    ahead: float | None = None


def after_searches(steps: SyncSteps, searcher: Searcher, *, anew: bool) -> Watermark:
    """The watermark after reading by searches.

    In quiet times no new stamp shows how the clocks differ; what earlier runs found is used too,
    unless ``anew``.
    """
    stated = server_time(steps.client, searcher)
    remembered = None if anew else steps.state.fact(_AHEAD)
    known = [steps.clock.ahead(stated), float(remembered) if remembered else None]
    ahead = min((one for one in known if one is not None), default=None)
    return Watermark(steps.clock.watermark(stated, ahead), ahead)


def after_export(steps: SyncSteps, at: str | None, *, anew: bool) -> Watermark:
    """The watermark after a bulk export; ``at``: its transactionTime.

    Some servers give the end of the export for its beginning (HAPI FHIR issue 6841), so that the
    newest stamp that was exported counts if it is earlier. Where nothing was, only a full run
    (``anew``) takes the stated time.
    """
    stated = moment(at)
    newest = steps.clock.newest
    if stated == datetime.min.replace(tzinfo=UTC):
        return Watermark(newest)
    if newest is None:
        return Watermark(stated if anew else None)
    return Watermark(min(stated, newest))


def save(state: State, watermark: Watermark) -> None:
    """Save the watermark of all types; in the caller's transaction."""
    if watermark.time is not None:
        state.set_watermarks(dict.fromkeys(DECODERS, as_instant(watermark.time)))
    if watermark.ahead is not None:
        state.set_fact(_AHEAD, str(watermark.ahead))
