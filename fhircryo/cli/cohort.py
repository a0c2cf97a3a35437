"""``fhircryo cohort``: a source's cohort as tables, statistics and a report."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
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
    parse_day,
)
from fhircryo.errors import DONE, UNREADABLE, SourceError, UsageError

if TYPE_CHECKING:
    from fhircryo.research.cohort import Cohort
    from fhircryo.research.flow import Flow
    from fhircryo.research.folder_options import CohortKind

_DEFAULT_FORMATS = "csv,parquet"


def cohort(
    source: Source,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder to write to; new, or of an earlier run.",
            show_default=False,
        ),
    ],
    as_of: AsOf = None,
    protocol: Protocol = None,
    mappings: Mappings = None,
    index_from: Annotated[
        date | None,
        typer.Option("--from", parser=parse_day, metavar="DATE", help="First index date."),
    ] = None,
    index_to: Annotated[
        date | None,
        typer.Option("--to", parser=parse_day, metavar="DATE", help="Last index date."),
    ] = None,
    patients: Patients = None,
    exclude: Exclude = None,
    formats: Annotated[
        str,
        typer.Option("--format", metavar="LIST", help="Of the tables: csv, parquet, redcap."),
    ] = _DEFAULT_FORMATS,
    identified: Annotated[
        bool,
        typer.Option("--identified", help="With patient ids, dates and resource ids."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask about --identified.")] = False,
    aggregate_only: Annotated[
        bool,
        typer.Option("--aggregate-only", help="No row per patient, no small group anywhere."),
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Key of the pseudonyms, made where it is not there. [default: FOLDER.key]",
        ),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write report.html and its figures.")
    ] = True,
    workers: Workers = 0,
    bulk: BulkLevel = None,
    keep: Keep = False,
) -> None:
    """Write the cohort of SOURCE as tables, with statistics and a report; pseudonymised.

    \b
    Example:
      fhircryo cohort export/ cohort/ --as-of 2017-12-31
      fhircryo cohort https://fhir.hospital.example/r4 cohort/ --from 2011-01-01 --to 2016-12-31
      fhircryo cohort export/ figures/ --aggregate-only
    """
    from fhircryo.cli.options import bulk_of, job_of, workers_for
    from fhircryo.cli.progress import progress
    from fhircryo.research.aggregate import aggregated
    from fhircryo.research.build import Between
    from fhircryo.research.cohort_folder import Execution, write_cohort
    from fhircryo.research.folder_options import FolderOptions

    kind = _kind(identified, aggregate_only)
    if index_from is not None and index_to is not None and index_to < index_from:
        raise UsageError("--to is before --from: no index date lies between them")
    chosen = _formats(formats)
    if aggregate_only and formats != _DEFAULT_FORMATS:
        raise UsageError("--format is for tables with a row per patient, not for --aggregate-only")
    if key is not None and kind != "pseudonymised":
        raise UsageError(f"--key is for pseudonyms, and {kind} tables have none")
    if identified and not yes:
        _ask(folder)
    job = job_of(as_of, protocol, mappings, source, patients, exclude)
    between = Between(index_from, index_to)
    options = FolderOptions(kind, chosen, report, between, job.settings.smallest_group, key)
    with progress() as (stage, advance), _kept(folder):
        execution = Execution(
            workers=workers or workers_for(source),
            progress=advance,
            stage=stage,
            bulk=bulk_of(bulk, keep, source, folder.resolve(), stage),
        )
        found = write_cohort(source, folder, job, options, execution)
    flow = found.flow
    if aggregate_only:
        flow = aggregated(found.analysis, options.threshold).flow
    print_cohort(found, flow, source, narrowed=patients is not None or exclude is not None)
    typer.echo(f"{kind}: {folder}")
    if report:
        typer.echo(f"report: {folder / 'report.html'}")
    if kind == "pseudonymised":
        typer.echo(f"key of the pseudonyms, keep it apart: {key or f'{folder}.key'}")
    raise typer.Exit(UNREADABLE if found.flow.unreadable else DONE)


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Say what is kept of a run that breaks off."""
    from fhircryo.storage.work_folder import OLDEST, work_folder_of

    try:
        yield
    except (SourceError, KeyboardInterrupt):
        work = work_folder_of(folder.resolve())
        if work.is_dir():
            hours = int(OLDEST.total_seconds() // 3600)
            print(
                f"What was read is kept in {work} for {hours} hours: run it again to go on from"
                " there, or remove that folder",
                file=sys.stderr,
            )
        raise


def _kind(identified: bool, aggregate_only: bool) -> "CohortKind":
    if identified and aggregate_only:
        raise UsageError("--identified and --aggregate-only: choose one")
    if identified:
        return "identified"
    return "aggregate-only" if aggregate_only else "pseudonymised"


def _formats(text: str) -> tuple[str, ...]:
    from fhircryo.research.folder_options import FORMATS

    chosen = tuple(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))
    for one in chosen:
        if one not in FORMATS:
            raise UsageError(f"--format {one}: not one of {', '.join(FORMATS)}")
    if not chosen:
        raise UsageError(f"--format: name one or more of {', '.join(FORMATS)}")
    return chosen


def _ask(folder: Path) -> None:
    """Say what identified tables are, and have it confirmed."""
    print(
        f"--identified: {folder} will hold patient ids, the ids of their resources and exact dates:"
        " health data of named people. Keep it where only those may read it who may read the"
        " record.",
        file=sys.stderr,
    )
    if not sys.stdin.isatty():
        raise UsageError("--identified has to be confirmed: add --yes")
    if not typer.confirm("Write identified tables?", err=True):
        raise typer.Exit(DONE)


def print_cohort(found: "Cohort", flow: "Flow", source: str, *, narrowed: bool = False) -> None:
    """Where patients were lost, on stderr; what is wrong comes first."""
    from fhircryo.research.flow import flow_words

    lines = []
    if flow.unreadable:
        lines.append(
            f"UNREADABLE: {flow.unreadable} lines or files; fhircryo compute says which, and do not"
            " take the rest for the whole"
        )
    for kind in flow.lacking:
        lines.append(
            f"LACKING: no {kind} in the whole source: endpoints that would rest on there being"
            " none are absent (source-lacks-type)"
        )
    for patient in found.unknown_patients:
        lines.append(f"UNKNOWN: Patient/{patient} was asked for and is not in the source")
    lines += flow_words(flow)
    if not flow.cohort:
        lines.append("No patient is in the cohort: all of them were lost as shown above.")
        if not narrowed:
            lines.append(f"Are the site's codes mapped? See fhircryo mappings survey {source}")
    print("\n".join(lines), file=sys.stderr)
