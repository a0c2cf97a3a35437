"""The result of a sync run."""

from dataclasses import dataclass, field

from fhircryo.publish.target_server import PushResult
from fhircryo.runs.summary import Summary
from fhircryo.runs.sync.state_database import Pending


@dataclass
class SyncResult:
    """What a sync run did.

    ``full``: the reason for a full run; empty for an increment. ``changed``: the number of
    resources that changed. ``patients``: the number of patients whose endpoints were computed.
    ``pushed``: None if there was nothing to compare with the target, or if the run was held back.
    ``held_back``: nothing was written because resources of the source were unreadable;
    ``would_be_held_back``: a dry run, of which the real run would be held back.
    ``stopped``: the run was asked to stop, and stopped after a transaction. ``pending``: patients
    whose endpoints could not be written. ``requests``: requests to the source and the target.
    """

    full: str = ""
    changed: int = 0
    patients: int = 0
    summary: Summary | None = None
    pushed: PushResult | None = None
    held_back: bool = False
    would_be_held_back: bool = False
    stopped: bool = False
    pending: list[Pending] = field(default_factory=list)
    requests: int = 0
