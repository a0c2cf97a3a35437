"""``fhircryo compute``: a source's endpoints, written to a target."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import (
    AsOf,
    BulkLevel,
    Exclude,
    Keep,
    Mappings,
    Patients,
    Protocol,
    Source,
    Workers,
)
from fhircryo.cli.writing import (
    AcceptUnreadable,
    AllowRetractions,
    DryRun,
    exit_code,
    print_pushed,
)
from fhircryo.errors import DONE, UNREADABLE, UsageError

if TYPE_CHECKING:
    from fhircryo.publish.target_server import Permissions
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.runs.summary import Summary


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
    validate: Annotated[
        bool,
        typer.Option("--validate", help="Check every written resource with FHIR R4B's models."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Write beside what else the target folder holds."),
    ] = False,
    dry_run: DryRun = False,
    allow_retractions: AllowRetractions = False,
    accept_unreadable: AcceptUnreadable = False,
    bulk: BulkLevel = None,
    keep: Keep = False,
) -> None:
    """Compute the endpoints of every patient in SOURCE and write them to TARGET as FHIR.

    \b
    Example:
      fhircryo compute export/ endpoints/ --as-of 2017-12-31
      fhircryo compute https://fhir.hospital.example/r4 endpoints/
      fhircryo compute https://fhir.hospital.example/r4 https://fhir.hospital.example/r4 --dry-run
    """
    from fhircryo.cli.options import job_of
    from fhircryo.publish.target_server import Permissions
    from fhircryo.sources.places import server_of

    narrowed = patients is not None or exclude is not None
    if server_of(target) is not None:
        if force or validate:
            raise UsageError("--force and --validate are for a folder as TARGET")
        job = job_of(as_of, protocol, mappings, source, patients, exclude)
        allowed = Permissions(dry_run, allow_retractions)
        _to_server(source, target, job, allowed, accept_unreadable, workers, narrowed, bulk, keep)
        return
    if dry_run or allow_retractions or accept_unreadable:
        raise UsageError(
            "--dry-run, --allow-retractions and --accept-unreadable are for a FHIR server as TARGET"
        )
    job = job_of(as_of, protocol, mappings, source, patients, exclude)
    _to_folder(source, Path(target), job, workers, validate, force, narrowed, bulk, keep)


def _to_folder(
    source: str,
    target: Path,
    job: "RunConfig",
    workers: int,
    validate: bool,
    force: bool,
    narrowed: bool,
    bulk: str | None,
    keep: bool,
) -> None:
    from fhircryo.cli.options import bulk_of, workers_for
    from fhircryo.cli.progress import progress
    from fhircryo.runs.to_folder import compute_folder

    with progress() as (stage, advance):
        summary = compute_folder(
            source,
            target,
            job,
            workers=workers or workers_for(source),
            validate=validate,
            force=force,
            progress=advance,
            stage=stage,
            bulk=bulk_of(bulk, keep, source, target.resolve(), stage),
        )
    print_summary(summary, narrowed=narrowed)
    raise typer.Exit(UNREADABLE if summary.unreadable else DONE)


def _to_server(
    source: str,
    target: str,
    job: "RunConfig",
    allowed: "Permissions",
    accept_unreadable: bool,
    workers: int,
    narrowed: bool,
    bulk: str | None,
    keep: bool,
) -> None:
    from fhircryo.cli.options import bulk_of, workers_for
    from fhircryo.cli.progress import progress
    from fhircryo.runs.to_server import bulk_place, compute_server

    with progress() as (stage, advance):
        run = compute_server(
            source,
            target,
            job,
            allowed,
            accept_unreadable=accept_unreadable,
            workers=workers or workers_for(source),
            progress=advance,
            stage=stage,
            bulk=bulk_of(bulk, keep, source, bulk_place(job.settings, source, target), stage),
        )
    print_summary(run.summary, narrowed=narrowed, listed=False)
    if run.pushed is None:
        print(
            "Nothing was written, because of what was unreadable; mend it, or --accept-unreadable",
            file=sys.stderr,
        )
    else:
        print_pushed(run.pushed)
    raise typer.Exit(exit_code(run.pushed, run.summary.unreadable))


def print_summary(summary: "Summary", *, narrowed: bool = False, listed: bool = True) -> None:
    """What a run did, on stderr; what is wrong comes first.

    ``narrowed``: only some patients were asked for; ``listed``: issues.ndjson was written.
    """
    lines = []
    if summary.unreadable:
        lines.append(
            f"UNREADABLE: {summary.unreadable} lines or files;"
            f" {'see' if listed else 'compute to a folder and see'} issues.ndjson, and do not take"
            " the rest for the whole"
        )
    for kind in summary.lacking:
        lines.append(
            f"LACKING: no {kind} in the whole source: endpoints that would rest on there being"
            " none are absent (source-lacks-type)"
        )
    for patient in summary.unknown_patients:
        lines.append(f"UNKNOWN: Patient/{patient} was asked for and is not in the source")
    for name in summary.overlays_unmet:
        lines.append(
            f"UNMET: nothing that {name} maps is in the source: is it the overlay of this source?"
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
    if not summary.cohort and not narrowed:
        lines.append("No patient has an index procedure: are the site's codes mapped (--mappings)?")
    print("\n".join(lines), file=sys.stderr)
