"""``fhircryo compute``: the endpoints of a source, written to a folder or a server."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import (
    AcceptUnreadable,
    AcceptWithheld,
    AllowDowngrade,
    AllowRetractions,
    AsOf,
    BulkLevel,
    DryRun,
    Engine,
    EngineName,
    Exclude,
    Keep,
    Mappings,
    Memory,
    Patients,
    Protocol,
    Source,
    SparkMaster,
    Workers,
)
from fhircryo.cli.printing import say
from fhircryo.cli.published_text import NOTHING_WRITTEN, exit_code, print_published
from fhircryo.cli.real_run import InputRead
from fhircryo.cli.run_options import RunOptions, SourceOptions
from fhircryo.cli.spark import check_no_master, spark_run
from fhircryo.errors import DONE, UNREADABLE, UsageError

if TYPE_CHECKING:
    from fhircryo.publish.target_server import Permissions
    from fhircryo.runs.summary import Summary

#: MB that one process needs, whatever it reads (measured: 200 with a fifth of it for a range).
_LEAST_MEMORY = 200


def compute(
    source: Source,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Folder to write to, or the base URL of a FHIR server.",
            show_default=False,
        ),
    ],
    as_of: AsOf = None,
    protocol: Protocol = None,
    mappings: Mappings = None,
    patients: Patients = None,
    exclude: Exclude = None,
    workers: Workers = 0,
    memory: Memory = None,
    engine: Engine = EngineName.LOCAL,
    spark_master: SparkMaster = None,
    validate: Annotated[
        bool,
        typer.Option("--validate", help="Check every written resource with the FHIR R4B models."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Write to the target folder although it holds other files; keep those."
        ),
    ] = False,
    dry_run: DryRun = False,
    allow_retractions: AllowRetractions = False,
    allow_downgrade: AllowDowngrade = False,
    accept_unreadable: AcceptUnreadable = False,
    accept_withheld: AcceptWithheld = False,
    bulk: BulkLevel = None,
    keep: Keep = False,
) -> None:
    """Compute the endpoints of every patient in SOURCE and write them to TARGET as FHIR.

    \b
    Example:
      fhircryo compute export/ endpoints/ --as-of 2017-12-31
      fhircryo compute https://fhir.hospital.example/r4 endpoints/
      fhircryo compute hdfs:///fhir/export hdfs:///fhir/endpoints --engine spark
      fhircryo compute https://fhir.hospital.example/r4 https://fhir.hospital.example/r4 --dry-run
    """
    from fhircryo.sources.places import server_of

    run = RunOptions(
        source, as_of, protocol, mappings, patients, exclude, accept_withheld=accept_withheld
    )
    if engine is EngineName.SPARK:
        others = {
            "--workers": workers,
            "--memory": memory,
            "--bulk": bulk,
            "--keep": keep,
            "--validate": validate,
            "--force": force,
            "--dry-run": dry_run,
            "--allow-retractions": allow_retractions,
            "--allow-downgrade": allow_downgrade,
            "--accept-unreadable": accept_unreadable,
        }
        raise typer.Exit(_on_spark(run, target, spark_master, others))
    check_no_master(spark_master)
    reading = SourceOptions(workers, bulk, keep, memory)
    reading.check_memory(source, _LEAST_MEMORY)
    if server_of(target) is not None:
        if memory is not None:
            raise UsageError("--memory needs a folder as TARGET")
        if force or validate:
            raise UsageError("--force and --validate need a folder as TARGET")
        from fhircryo.publish.target_server import Permissions

        allowed = Permissions(dry_run, allow_retractions, allow_downgrade)
        raise typer.Exit(_to_server(run, reading, target, allowed, accept_unreadable))
    if dry_run or allow_retractions or allow_downgrade or accept_unreadable:
        raise UsageError(
            "--dry-run, --allow-retractions, --allow-downgrade and --accept-unreadable need a FHIR"
            " server as TARGET"
        )
    raise typer.Exit(_to_folder(run, reading, Path(target), validate=validate, force=force))


def _on_spark(
    run: RunOptions, target: str, master: str | None, others: Mapping[str, object]
) -> int:
    """Compute by Spark; return the exit code.

    ``others``: the options that Spark does not have, each with its value.
    """
    with spark_run(run, ("TARGET", target), master, others) as (spark, config, how):
        from fhircryo.runs.spark.compute_spark import compute_spark

        summary = compute_spark(spark, run.source, target, config, how)
    print_summary(summary, run)
    return UNREADABLE if summary.unreadable else DONE


def _to_folder(
    run: RunOptions, reading: SourceOptions, target: Path, *, validate: bool, force: bool
) -> int:
    """Write the endpoints to a folder; return the exit code."""
    from fhircryo.cli.progress import progress
    from fhircryo.runs.execution import Execution
    from fhircryo.runs.to_folder import compute_folder

    config = run.config()
    with progress() as (stage, advance):
        execution = Execution(
            workers=reading.worker_count(run.source),
            progress=advance,
            stage=stage,
            bulk=reading.bulk_export(run.source, target.resolve(), stage),
            memory=reading.memory,
        )
        summary = compute_folder(
            run.source, target, config, execution, validate=validate, force=force
        )
    print_summary(summary, run)
    return UNREADABLE if summary.unreadable else DONE


def _to_server(
    run: RunOptions,
    reading: SourceOptions,
    target: str,
    allowed: "Permissions",
    accept_unreadable: bool,
) -> int:
    """Write the endpoints to a server; return the exit code."""
    from fhircryo.cli.progress import progress
    from fhircryo.runs.execution import Execution
    from fhircryo.runs.to_server import bulk_place, compute_server

    config = run.config()
    with progress() as (stage, advance):
        place = bulk_place(config.settings, run.source, target)
        execution = Execution(
            workers=reading.worker_count(run.source),
            progress=advance,
            stage=stage,
            bulk=reading.bulk_export(run.source, place, stage),
        )
        done = compute_server(
            run.source,
            target,
            config,
            allowed,
            execution,
            accept_unreadable=accept_unreadable,
        )
    print_summary(done.summary, run, listed=False)
    input_read = InputRead(done.summary.unreadable, accepted=accept_unreadable)
    if done.pushed is None:
        say(NOTHING_WRITTEN, err=True)
    else:
        print_published(done.pushed, input_read)
    return exit_code(done.pushed, input_read)


def print_summary(summary: "Summary", run: RunOptions, *, listed: bool = True) -> None:
    """Print what a run read and computed on stderr, beginning with what is wrong.

    ``listed``: the run wrote issues.ndjson.
    """
    from fhircryo.cli.source_warnings import source_warnings, withheld_warnings

    advice = "see issues.ndjson" if listed else "compute to a folder, which lists them"
    lines = source_warnings(
        summary.unreadable,
        advice,
        [kind for kind in summary.lacking if kind not in summary.withheld],
        summary.never_stated,
        summary.unknown_patients,
        summary.unreadable_files,
    )
    lines += withheld_warnings(summary.withheld, summary.lacking)
    for name in summary.overlays_unmet:
        lines.append(
            f"UNMET: nothing that {name} maps is in the source; is it the overlay of this source?"
        )
    for name in summary.passed_over:
        lines.append(f"not read: {name}")
    lines += [
        f"patients     {summary.patients:>10}",
        f"in cohort    {summary.cohort:>10}",
        f"endpoints    {summary.observations:>10}",
        f"resources    {summary.resources:>10}   used {summary.used},"
        f" not used {sum(summary.not_used.values())},"
        f" of types that are not read {sum(summary.other_types.values())}",
    ]
    for reason, number in summary.not_used.items():
        lines.append(f"  not used   {number:>10}   {reason}")
    for reason, number in summary.notes.items():
        lines.append(f"  used, but  {number:>10}   {reason}")
    if run.patients is not None:
        lines.append(
            "--patients: only the endpoints are limited to the patients on the list; all other"
            " numbers are of the whole source, in which everybody else is not-in-cohort."
        )
    if summary.no_cohort and not run.narrowed:
        lines.append(summary.no_cohort)
    say(*lines, err=True)
