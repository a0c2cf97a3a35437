"""The options of a sync run, and the servers that its settings name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from fhircryo.errors import UsageError
from fhircryo.runs.run_config import RunConfig
from fhircryo.sources.places import server_of


class StoppedError(Exception):
    """The run was asked to stop, and stopped before it wrote anything."""


@dataclass(frozen=True)
class SyncOptions:
    """The options of one sync run.

    ``full``: read everything, whatever changed. ``today``: the date that decides whether a full
    run is due, and which patients are due. ``stopped``: is called repeatedly during the run; once
    it returns True, the run ends before the next page or transaction.
    """

    full: bool = False
    dry_run: bool = False
    allow_retractions: bool = False
    allow_downgrade: bool = False
    accept_unreadable: bool = False
    today: date = field(default_factory=date.today)
    stopped: Callable[[], bool] = lambda: False


def source_and_target(config: RunConfig) -> tuple[str, str]:
    """The base URLs of the source server and the target server.

    Raises:
        UsageError: ``sync.source`` is not set, or a setting is not the base URL of a server.
    """
    source = config.settings.sync.source
    target = config.settings.sync.target or source
    if not source or not target:
        raise UsageError(
            "setting sync.source: not set; it must be the base URL of the FHIR server to read"
        )
    for name, url in (("source", source), ("target", target)):
        if server_of(url) is None:
            raise UsageError(f"setting sync.{name}: {url}: not the base URL of a FHIR server")
    return source.rstrip("/"), target.rstrip("/")
