"""The status file and the metrics of a sync run; they hold ids and counts only."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fhircryo import __version__
from fhircryo.errors import TargetError, UsageError
from fhircryo.publish.difference import Action
from fhircryo.runs.sync.sync_result import SyncResult
from fhircryo.storage.atomic import PRIVATE, PUBLIC, write_whole

_WRITTEN = (Action.NEW, Action.CHANGED, Action.RETRACTED)


@dataclass(frozen=True)
class RunReport:
    """How one run ended.

    ``run``: the id of the run, as in its log lines. ``message``: the error, if there was one.
    ``result``: None if the run failed or was stopped before it wrote anything.
    """

    run: str
    started: datetime
    ended: datetime
    exit_code: int
    message: str = ""
    result: SyncResult | None = None

    def as_dict(self) -> dict[str, Any]:
        """The content of the status file."""
        content: dict[str, Any] = {
            "run": self.run,
            "fhircryo": __version__,
            "started": self.started.isoformat(timespec="seconds"),
            "ended": self.ended.isoformat(timespec="seconds"),
            "seconds": round((self.ended - self.started).total_seconds(), 1),
            "exit_code": self.exit_code,
            "message": self.message,
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
        "requests": result.requests,
        "stopped": result.stopped,
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


def status_path(state: Path) -> Path:
    """The path of the status file that belongs to a state file."""
    return state.with_suffix(".status.json")


def write_status(path: Path, report: RunReport) -> None:
    """Write the status file atomically; a failed run keeps the time of the last success.

    Raises:
        UsageError: the file cannot be written.
    """
    content = report.as_dict()
    before = read_status(path)
    succeeded = report.ended.isoformat(timespec="seconds") if not report.exit_code else None
    content["last_success"] = succeeded or (before or {}).get("last_success")
    _write(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n", PRIVATE)


def read_status(path: Path) -> dict[str, Any] | None:
    """The content of the status file; None if there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write_metrics(path: Path, report: RunReport, last_success: str | None) -> None:
    """Write the metrics of a run for the textfile collector of Prometheus.

    Source: https://prometheus.io/docs/instrumenting/exposition_formats/

    Raises:
        UsageError: the file cannot be written.
    """
    content = report.as_dict()
    lines: list[str] = []
    for name, description, value in _gauges(report, content, last_success):
        metric = f"fhircryo_sync_{name}"
        lines += [f"# HELP {metric} {description}", f"# TYPE {metric} gauge", f"{metric} {value}"]
    if report.result is not None:
        metric = "fhircryo_sync_last_run_endpoints_written"
        lines += [f"# HELP {metric} Endpoints written", f"# TYPE {metric} gauge"]
        lines += [
            f'{metric}{{action="{action}"}} {count}'
            for action, count in content["endpoints"].items()
        ]
    # The collector runs as another user; the file holds no data of a patient.
    _write(path, "\n".join(lines) + "\n", PUBLIC)


def _gauges(
    report: RunReport, content: dict[str, Any], last_success: str | None
) -> list[tuple[str, str, float]]:
    """Name, description and value of each metric without labels."""
    gauges: list[tuple[str, str, float]] = [
        ("last_run_timestamp_seconds", "End of the last run", report.ended.timestamp()),
        ("last_run_exit_code", "Exit code of the last run", report.exit_code),
        ("last_run_duration_seconds", "Duration of the last run", content["seconds"]),
    ]
    if last_success:
        ended = datetime.fromisoformat(last_success).timestamp()
        gauges.append(("last_success_timestamp_seconds", "End of the last successful run", ended))
    if report.result is not None:
        gauges += [
            ("last_run_requests", "Requests to source and target", content["requests"]),
            ("last_run_resources_changed", "Changed resources", content["resources_changed"]),
            ("last_run_patients_computed", "Patients computed", content["patients_computed"]),
            ("last_run_unreadable", "Unreadable resources", content["unreadable"]),
            (
                "patients_not_written",
                "Patients whose endpoints could not be written",
                len(content["not_written"]),
            ),
        ]
    return gauges


def _write(path: Path, text: str, mode: int) -> None:
    try:
        write_whole(path, text.encode(), mode)
    except TargetError as error:
        # The path comes from the settings; it is not the target of the run.
        raise UsageError(str(error)) from None
