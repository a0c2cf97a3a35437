"""``fhircryo demo``: the shipped cohort's table beside the publication's."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fhircryo.research.cohort import Cohort
    from fhircryo.runs.run_config import RunConfig

DEMO_AS_OF = date(2017, 12, 31)


def demo(
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also write the computed endpoints here, as FHIR."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also write the cohort's tables and report here."),
    ] = None,
) -> None:
    """Compute the shipped cohort of 62 synthetic patients and print the paper's table.

    Exit code 1 where a figure is not the paper's.

    \b
    Example:
      fhircryo demo --out endpoints/
    """
    from fhircryo.research.cohort_folder import write_cohort
    from fhircryo.research.folder_options import FolderOptions
    from fhircryo.runs.to_folder import compute_folder
    from fhircryo.storage.shipped_files import shipped

    source = shipped("examples/bomers-2020")
    job = demo_job()
    same = print_table(demo_cohort(source, job))
    if out is not None:
        compute_folder(source, out, job)
        typer.echo(f"written: {out}")
    if report is not None:
        write_cohort(source, report, job, FolderOptions())
        typer.echo(f"report: {report / 'report.html'}")
    raise typer.Exit(0 if same else 1)


def demo_job() -> "RunConfig":
    """What the demo computes with: a site's fhircryo.toml does not change the paper's table."""
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.settings import Settings

    return RunConfig.of(Settings.model_construct(), DEMO_AS_OF)


def demo_cohort(source: str | Path, job: "RunConfig") -> "Cohort":
    """The demo's cohort, of a folder or a server that holds it."""
    from fhircryo.research.build import TableOptions
    from fhircryo.research.cohort import cohort_of
    from fhircryo.runs.read_source import read_source

    return cohort_of(read_source(source, job), job, TableOptions(str))


def print_table(found: "Cohort") -> bool:
    """Print a cohort's table beside the publication's; whether every figure is the same."""
    from rich.console import Console
    from rich.table import Table

    from fhircryo.research.results_table import results_table

    job = found.config
    rows = results_table(found["patients"], job.protocol, job.mappings.instruments)
    typer.echo(f"{job.protocol.title}, as of {job.as_of}")
    table = Table()
    for heading in ("", "fhircryo", "published", ""):
        table.add_column(heading)
    for row in rows:
        table.add_row(row.words, row.ours, row.published, "=" if row.same else "DIFFERS")
    Console().print(table)
    typer.echo(f"published: {job.protocol.source}")
    return all(row.same for row in rows)
