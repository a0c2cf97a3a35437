"""The metrics of scheduled runs for Prometheus: numbers only."""

from datetime import datetime
from pathlib import Path
from typing import Any

from fhircryo.runs.sync.status_file import RunReport
from fhircryo.storage.atomic import PUBLIC, write_whole


def write_metrics(path: Path, report: RunReport, last_success: str | None) -> None:
    """Write the metrics of a run for the textfile collector of Prometheus.

    Source: https://prometheus.io/docs/instrumenting/exposition_formats/

    Raises:
        TargetError: the file cannot be written.
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
    write_whole(path, ("\n".join(lines) + "\n").encode(), PUBLIC)


def _gauges(
    report: RunReport, content: dict[str, Any], last_success: str | None
) -> list[tuple[str, str, float]]:
    """Name, description and value of each metric without labels."""
    gauges: list[tuple[str, str, float]] = [
        ("last_run_timestamp_seconds", "End of the last run", report.ended.timestamp()),
        ("last_run_exit_code", "Exit code of the last run", report.exit_code),
        ("last_run_stopped", "1 if the last run was stopped by a signal", int(content["stopped"])),
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
