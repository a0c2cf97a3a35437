"""Reports how a scheduled run ended: status file and metrics."""

import logging
from dataclasses import replace
from pathlib import Path

from fhircryo.errors import DONE, TargetError, UsageError
from fhircryo.publish.target_lock import make_state_folder
from fhircryo.runs.sync.metrics_file import write_metrics
from fhircryo.runs.sync.status_file import RunReport, read_status, write_status

LOG = logging.getLogger("fhircryo.sync")


def report_run(status_file: Path, metrics_file: Path | None, report: RunReport) -> int:
    """Write the status file, and the metrics if there is a file for them; return the exit code.

    It is that of the run, except if the status file of a successful run cannot be written: then
    the old file would be taken for the status of this run, which is an error. Metrics that cannot
    be written are a warning, and the status file says so; Prometheus notices that they are old.
    Where the state folder is not ours, nothing is reported: it is another user's runs that report.
    """
    try:  # a run that failed early has not made the folder
        make_state_folder(status_file.parent)
    except UsageError as error:
        LOG.warning("the status file: %s", error)
        return report.exit_code if report.exit_code != DONE else error.exit_code
    last_success = _last_success(status_file, report)
    report = _write_status(status_file, report, last_success)
    if metrics_file is not None:
        try:
            write_metrics(metrics_file, report, last_success)
        except TargetError as error:
            LOG.warning("setting sync.metrics_file: %s", error)
            report = replace(report, metrics_problem=str(error))
            report = _write_status(status_file, report, last_success)
    return report.exit_code


def _last_success(status_file: Path, report: RunReport) -> str | None:
    """The end of this run if it succeeded, otherwise of the last run that did, if known."""
    if report.exit_code == DONE:
        return report.ended.isoformat(timespec="seconds")
    try:
        before = read_status(status_file)
    except UsageError as error:
        LOG.warning("%s", error)
        return None
    return (before or {}).get("last_success")


def _write_status(status_file: Path, report: RunReport, last_success: str | None) -> RunReport:
    """Write the status file; return the report, changed if the file cannot be written."""
    try:
        write_status(status_file, report, last_success)
    except TargetError as error:
        LOG.warning("the status file: %s", error)
        if report.exit_code == DONE:
            return replace(report, exit_code=UsageError.exit_code, message=str(error))
    return report
