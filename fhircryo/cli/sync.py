"""``fhircryo sync``: a scheduled run."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import (
    AcceptUnreadable,
    AllowDowngrade,
    AllowRetractions,
    Config,
    DryRun,
)
from fhircryo.cli.printing import say, say_json
from fhircryo.cli.published_text import NOTHING_WRITTEN, exit_code, print_published
from fhircryo.cli.real_run import InputRead
from fhircryo.cli.stopping import why_stopped, why_stopped_early
from fhircryo.errors import BUG, REJECTED, STOPPED, FhircryoError, LockedError, UsageError
from fhircryo.interrupts import asked_to_stop, held, stoppable

if TYPE_CHECKING:
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.runs.sync.sync_options import SyncOptions
    from fhircryo.runs.sync.sync_result import SyncResult


def sync(
    config: Config = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read all data, not only what changed.")
    ] = False,
    dry_run: DryRun = False,
    patients: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|Group/ID", help="Follow only these patients. [default: sync.patients]"
        ),
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File of patients who objected. [default: sync.exclude]"),
    ] = None,
    bulk: Annotated[
        str | None,
        typer.Option(
            metavar="system|patient|Group/ID",
            help="Read the server by bulk export at this level. [default: sync.bulk]",
        ),
    ] = None,
    allow_retractions: AllowRetractions = False,
    allow_downgrade: AllowDowngrade = False,
    accept_unreadable: AcceptUnreadable = False,
    status: Annotated[
        bool, typer.Option("--status", help="Show how the last run ended, and do nothing else.")
    ] = False,
) -> None:
    """Update the target server with what has changed on the source server.

    This is the command for a timer. It reads the resources that changed since the last run,
    computes the patients whom they concern, and writes the endpoints that differ. The settings
    sync.source and sync.target name the servers.

    \b
    Example:
      fhircryo sync --config /etc/fhircryo/fhircryo.toml
    """
    import uuid

    from fhircryo.cli.run_options import scheduled_settings, with_patients
    from fhircryo.logs import set_up_logs
    from fhircryo.runs.sync.state_file import state_path, status_path
    from fhircryo.runs.sync.sync_options import SyncOptions, source_and_target

    run_id = uuid.uuid4().hex[:12]
    run_config = scheduled_settings(config, bulk)
    set_up_logs(run_config.settings.log_level, run_config.settings.log_format, run_id)
    servers = source_and_target(run_config)

    def status_file() -> Path:  # a run may rename what an earlier version has left
        return status_path(state_path(run_config, *servers))

    if status:
        raise typer.Exit(_print_status(status_file()))
    status_file()  # whether the state folder can be used is found before the run
    wanted = SyncOptions(
        full=full,
        dry_run=dry_run,
        allow_retractions=allow_retractions,
        allow_downgrade=allow_downgrade,
        accept_unreadable=accept_unreadable,
    )
    configured = partial(with_patients, run_config, patients, exclude)
    metrics_file = run_config.settings.sync.metrics_file
    raise typer.Exit(_run_and_report(run_id, configured, wanted, status_file, metrics_file))


def _run_and_report(
    run_id: str,
    configured: "Callable[[], RunConfig]",
    wanted: "SyncOptions",
    status_file: Callable[[], Path],
    metrics_file: Path | None,
) -> int:
    """Run, and write how the run ended to the status file and the metrics; return the exit code.

    ``configured``: reads the lists of patients, which may fail like the rest of the run.

    Raises:
        FhircryoError: the error with which the run ended.
    """
    from fhircryo.logs import masked
    from fhircryo.runs.sync.report import report_run
    from fhircryo.runs.sync.status_file import RunReport

    started = datetime.now(UTC)
    with held():  # however the run ends, that is reported
        done, error = _run(configured, wanted)
        code = _exit_code(done, error)
        # After a signal, an error may be a consequence of it.
        message = _why_stopped(done) if code == STOPPED else masked(str(error or ""))
        report = RunReport(run_id, started, datetime.now(UTC), code, message, done)
        # A run that found the target locked did nothing: the report of the other run is kept.
        if not wanted.dry_run and not isinstance(error, LockedError):
            code = report_run(status_file(), metrics_file, report)
        if done is not None:
            _print_done(done)
    if error is not None:
        raise error
    return code


def _run(
    configured: "Callable[[], RunConfig]", wanted: "SyncOptions"
) -> "tuple[SyncResult | None, Exception | None]":
    """Run until the end, or until a signal asks the run to stop.

    Returns what was done (None if the run stopped before it wrote) and the error that ended it.
    """
    from dataclasses import replace

    from fhircryo.runs.sync.run import sync
    from fhircryo.runs.sync.sync_options import StoppedError

    try:
        with stoppable():
            stopping = replace(wanted, stopped=lambda: asked_to_stop() is not None)
            return sync(configured(), stopping), None
    except (StoppedError, KeyboardInterrupt):
        return None, None
    except Exception as error:  # a bug is reported like the errors that a user can correct
        return None, error


def _exit_code(done: "SyncResult | None", error: Exception | None) -> int:
    if done is None and error is None:
        return STOPPED
    if asked_to_stop() is not None or (done is not None and done.stopped):
        return STOPPED
    if done is None:
        return error.exit_code if isinstance(error, FhircryoError) else BUG
    if done.pending:
        return REJECTED
    return exit_code(done.pushed, _input_read(done))


def _why_stopped(done: "SyncResult | None") -> str:
    return why_stopped_early() if done is None or done.pushed is None else why_stopped("sync")


def _input_read(done: "SyncResult") -> InputRead:
    unreadable = done.summary.unreadable if done.summary is not None else 0
    return InputRead(unreadable, accepted=not done.would_be_held_back)


def _print_done(done: "SyncResult") -> None:
    """Print what a run did on stderr."""
    lines = [f"full run: {done.full}"] if done.full else []
    lines.append(f"changed      {done.changed:>10}   resources")
    lines.append(f"computed     {done.patients:>10}   patients")
    if done.summary is not None and done.summary.unreadable:
        lines.append(
            f"UNREADABLE: {done.summary.unreadable} resources of the source could not be read"
        )
    if done.held_back:
        lines.append(NOTHING_WRITTEN)
    say(*lines, err=True)
    if done.pushed is not None:
        print_published(done.pushed, _input_read(done))
    else:
        say("nothing to write", err=True)
    for waiting in done.pending:
        say(
            f"WAITING: Patient/{waiting.patient}, since {waiting.since}, {waiting.tries} attempts:"
            f" {waiting.why}",
            err=True,
        )
    say(f"requests     {done.requests:>10}", err=True)


def _print_status(status_file: Path) -> int:
    """Print how the last run ended, as JSON; return its exit code.

    Raises:
        UsageError: no run is on record, or the status file is damaged.
    """
    from fhircryo.runs.sync.status_file import read_status

    content = read_status(status_file)
    if content is None:
        raise UsageError(
            f"{status_file}: no run is on record; has fhircryo sync run with these settings, as"
            " this user?"
        )
    say_json(content)
    return int(content["exit_code"])
