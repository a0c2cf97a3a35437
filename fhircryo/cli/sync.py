"""``fhircryo sync``: a scheduled run."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import Config
from fhircryo.cli.writing import AcceptUnreadable, AllowRetractions, DryRun, print_pushed
from fhircryo.errors import DONE, REJECTED, UNREADABLE, FhircryoError

if TYPE_CHECKING:
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.runs.sync.options import SyncOptions
    from fhircryo.runs.sync.result import SyncResult


def sync(
    config: Config = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything, whatever changed since.")
    ] = False,
    dry_run: DryRun = False,
    patients: Annotated[
        str | None,
        typer.Option(metavar="FILE|Group/ID", help="Follow these patients. [default: setting]"),
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Patients who objected. [default: setting]"),
    ] = None,
    bulk: Annotated[
        str | None,
        typer.Option(
            metavar="system|patient|Group/ID", help="Read by bulk export. [default: setting]"
        ),
    ] = None,
    allow_retractions: AllowRetractions = False,
    accept_unreadable: AcceptUnreadable = False,
    status: Annotated[
        bool, typer.Option("--status", help="Tell how the last run ended, and do nothing.")
    ] = False,
) -> None:
    """Bring the target server up to date with the source server: what a timer starts.

    What changed since the last run is read, whom it concerns is computed anew, what differs is
    written. Source and target stand in the settings (sync.source, sync.target).

    \b
    Example:
      fhircryo sync --config /etc/fhircryo.toml
    """
    import uuid

    from fhircryo.cli.options import scheduled_job
    from fhircryo.logs import masked, set_up_logs
    from fhircryo.runs.sync.options import SyncOptions, source_and_target
    from fhircryo.runs.sync.state_file import state_path
    from fhircryo.runs.sync.status_file import (
        RunReport,
        read_status,
        status_path,
        write_metrics,
        write_status,
    )

    run_id = uuid.uuid4().hex[:12]
    job = scheduled_job(config, patients, exclude, bulk)
    set_up_logs(job.settings.log_level, job.settings.log_format, run_id)
    place = status_path(state_path(job, *source_and_target(job)))
    if status:
        _tell_status(place)
        return
    started = datetime.now(UTC)
    wanted = SyncOptions(
        full=full,
        dry_run=dry_run,
        allow_retractions=allow_retractions,
        accept_unreadable=accept_unreadable,
    )
    done, error = _run(job, wanted)
    code = error.exit_code if error is not None else _exit_code(done)
    report = RunReport(run_id, started, datetime.now(UTC), code, masked(str(error or "")), done)
    # Who found the lock taken did not run: the report of who did stays.
    if not dry_run and code != _LOCKED:
        write_status(place, report)
        metrics = job.settings.sync.metrics_file
        if metrics is not None:
            write_metrics(metrics, report, (read_status(place) or {}).get("last_success"))
    if error is not None:
        raise error
    raise typer.Exit(code)


_LOCKED = 6


def _run(
    job: "RunConfig", wanted: "SyncOptions"
) -> "tuple[SyncResult | None, FhircryoError | None]":
    """The run, ended in good order where a signal asks for it."""
    import signal
    import threading
    from dataclasses import replace

    from fhircryo.runs.sync.options import StoppedError
    from fhircryo.runs.sync.run import sync

    asked = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: asked.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        done = sync(job, replace(wanted, stopped=asked.is_set))
    except StoppedError:
        print("Stopped before anything was written; the next run goes on.", file=sys.stderr)
        return None, None
    except FhircryoError as error:
        return None, error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    _tell(done)
    return done, None


def _exit_code(done: "SyncResult | None") -> int:
    if done is None:
        return DONE
    if done.pending or (done.pushed is not None and done.pushed.rejected):
        return REJECTED
    return UNREADABLE if done.summary is not None and done.summary.unreadable else DONE


def _tell(done: "SyncResult") -> None:
    lines = [f"full run: {done.full}"] if done.full else []
    lines.append(f"changed      {done.changed:>10}   resources")
    lines.append(f"computed     {done.patients:>10}   patients")
    if done.summary is not None and done.summary.unreadable:
        lines.append(f"UNREADABLE: {done.summary.unreadable} resources of the source")
    if done.held_back:
        lines.append(
            "Nothing was written, because of what was unreadable; mend it, or --accept-unreadable"
        )
    print("\n".join(lines), file=sys.stderr)
    if done.pushed is not None:
        print_pushed(done.pushed)
    else:
        print("nothing to write", file=sys.stderr)
    if done.stopped:
        print("Stopped after the transaction in hand; the next run goes on.", file=sys.stderr)
    for one in done.pending:
        print(
            f"WAITING: Patient/{one.patient}, since {one.since}, tried {one.tries}"
            f" times: {one.why}",
            file=sys.stderr,
        )
    print(f"requests     {done.requests:>10}", file=sys.stderr)


def _tell_status(place: Path) -> None:
    import json

    from fhircryo.runs.sync.status_file import read_status

    content = read_status(place)
    if content is None:
        typer.echo(f"{place}: no run has ended yet")
        return
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    raise typer.Exit(int(content.get("exit_code", DONE)))
