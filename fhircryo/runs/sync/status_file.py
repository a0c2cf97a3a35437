"""The status file of scheduled runs: how the last one ended, in ids and counts."""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fhircryo import __version__
from fhircryo.errors import STOPPED, UsageError
from fhircryo.publish.difference import Action
from fhircryo.runs.sync.sync_result import SyncResult
from fhircryo.storage.atomic import PRIVATE, write_whole
from fhircryo.storage.ownership import read_file

_WRITTEN = (Action.NEW, Action.CHANGED, Action.RETRACTED)


@dataclass(frozen=True)
class RunReport:
    """How one run ended.

    ``run``: the id of the run, as in its log lines. ``message``: the error, or what stopped the
    run; empty if it was neither. ``result``: None if the run failed or was stopped before it wrote
    anything.
    ``metrics_problem``: why the file of metrics could not be written; empty if it was.
    """

    run: str
    started: datetime
    ended: datetime
    exit_code: int
    message: str = ""
    result: SyncResult | None = None
    metrics_problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The content of the status file."""
        content: dict[str, Any] = {
            "run": self.run,
            "fhircryo": __version__,
            "started": self.started.isoformat(timespec="seconds"),
            "ended": self.ended.isoformat(timespec="seconds"),
            "seconds": round((self.ended - self.started).total_seconds(), 1),
            "exit_code": self.exit_code,
            "stopped": self.exit_code == STOPPED,
            "message": self.message,
            "metrics_problem": self.metrics_problem,
        }
        return content if self.result is None else content | _figures_of(self.result)


def _figures_of(result: SyncResult) -> dict[str, Any]:
    pushed, summary = result.pushed, result.summary
    endpoints = pushed.written.endpoints if pushed is not None else {}
    return {
        "full": result.full,
        "resources_changed": result.changed,
        "resources_read": summary.resources if summary is not None else 0,
        "unreadable": summary.unreadable if summary is not None else 0,
        "patients_computed": result.patients,
        "endpoints": {str(action): endpoints.get(action, 0) for action in _WRITTEN},
        "patients_rejected": len(pushed.rejected) if pushed is not None else 0,
        "warnings": pushed.warnings if pushed is not None else [],
        "requests": result.requests,
        "not_written": [
            {
                "patient": pending.patient,
                "why": pending.why,
                "since": pending.since,
                "tries": pending.tries,
            }
            for pending in result.pending
        ],
    }


def write_status(path: Path, report: RunReport, last_success: str | None) -> None:
    """Write the status file atomically; its folder exists.

    ``last_success``: the time at which the last successful run ended.

    Raises:
        TargetError: the file cannot be written.
    """
    content = report.as_dict() | {"last_success": last_success}
    write_whole(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode(), PRIVATE)


def read_status(path: Path) -> dict[str, Any] | None:
    """The content of the status file; None if there is no such file.

    Raises:
        UsageError: the file cannot be read, or is not a status file.
    """
    try:
        content = json.loads(read_file(path).decode())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(
            f"{path}: the status file cannot be read: {error.strerror or error}"
        ) from None
    except ValueError:
        content = None
    # Whether the time is one is checked, too: it is computed with.
    if isinstance(content, dict) and type(content.get("exit_code")) is int:
        with suppress(ValueError, TypeError):
            last = content.get("last_success")
            content["last_success"] = last and datetime.fromisoformat(last).isoformat()
            return content
    raise UsageError(f"{path}: the status file is damaged; the next run writes a new one")
