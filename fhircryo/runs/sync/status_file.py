"""What a scheduled run leaves for operations: a status file and metrics; ids and counts only."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fhircryo import __version__
from fhircryo.errors import TargetError, UsageError
from fhircryo.publish.difference import Action
from fhircryo.runs.sync.run import Synced
from fhircryo.storage.atomic import PRIVATE, PUBLIC, write_whole


@dataclass(frozen=True)
class Report:
    """One run: its id, when it began and ended, how, and what it did (None: it came to nothing)."""

    run: str
    started: datetime
    ended: datetime
    exit_code: int
    message: str = ""
    done: Synced | None = None

    def as_dict(self) -> dict[str, Any]:
        """As the status file holds it."""
        found: dict[str, Any] = {
            "run": self.run,
            "fhircryo": __version__,
            "started": self.started.isoformat(timespec="seconds"),
            "ended": self.ended.isoformat(timespec="seconds"),
            "seconds": round((self.ended - self.started).total_seconds(), 1),
            "exit_code": self.exit_code,
            "message": self.message,
        }
        done = self.done
        if done is None:
            return found
        endpoints = done.pushed.written.endpoints if done.pushed is not None else {}
        return found | {
            "full": done.full,
            "resources_changed": done.changed,
            "resources_read": done.summary.resources if done.summary is not None else 0,
            "unreadable": done.summary.unreadable if done.summary is not None else 0,
            "patients_computed": done.patients,
            "endpoints": {str(action): endpoints.get(action, 0) for action in _WRITTEN},
            "patients_rejected": len(done.pushed.rejected) if done.pushed is not None else 0,
            "requests": done.requests,
            "stopped": done.stopped,
            "not_written": [
                {"patient": one.patient, "why": one.why, "since": one.since, "tries": one.tries}
                for one in done.pending
            ],
        }


_WRITTEN = (Action.NEW, Action.CHANGED, Action.RETRACTED)


def status_path(state: Path) -> Path:
    """Where the last run's report stands, beside the state."""
    return state.with_suffix(".status.json")


def write_status(path: Path, report: Report) -> None:
    """Write the status file, as a whole or not at all."""
    content = report.as_dict()
    before = read_status(path)
    succeeded = report.ended.isoformat(timespec="seconds") if not report.exit_code else None
    content["last_success"] = succeeded or (before or {}).get("last_success")
    _write(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n", PRIVATE)


def read_status(path: Path) -> dict[str, Any] | None:
    """The last run's report; None where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write_metrics(path: Path, report: Report, last_success: str | None) -> None:
    """Write the figures of a run for Prometheus's textfile collector.

    Source: https://prometheus.io/docs/instrumenting/exposition_formats/
    """
    told = report.as_dict()
    figures: list[tuple[str, str, float]] = [
        ("last_run_timestamp_seconds", "When the last run ended", report.ended.timestamp()),
        ("last_run_exit_code", "How the last run ended", report.exit_code),
        ("last_run_duration_seconds", "How long the last run took", told["seconds"]),
    ]
    if last_success:
        when = datetime.fromisoformat(last_success).timestamp()
        figures.append(("last_success_timestamp_seconds", "When a run ended well", when))
    if report.done is not None:
        figures += [
            ("last_run_requests", "Requests to source and target", told["requests"]),
            ("last_run_resources_changed", "Resources that had changed", told["resources_changed"]),
            ("last_run_patients_computed", "Patients computed anew", told["patients_computed"]),
            ("last_run_unreadable", "Resources that cannot be read", told["unreadable"]),
            ("patients_not_written", "Patients waiting to be written", len(told["not_written"])),
        ]
    lines = []
    for name, words, value in figures:
        full = f"fhircryo_sync_{name}"
        lines += [f"# HELP {full} {words}", f"# TYPE {full} gauge", f"{full} {value}"]
    if report.done is not None:
        full = "fhircryo_sync_last_run_endpoints_written"
        lines += [f"# HELP {full} Endpoints written", f"# TYPE {full} gauge"]
        lines += [f'{full}{{action="{name}"}} {n}' for name, n in told["endpoints"].items()]
    # The collector runs as another user, and nothing in it is of a patient.
    _write(path, "\n".join(lines) + "\n", PUBLIC)


def _write(path: Path, text: str, mode: int) -> None:
    try:
        write_whole(path, text.encode(), mode)
    except TargetError as error:
        # It is no TARGET: the settings name the place.
        raise UsageError(str(error)) from None
