"""``fhircryo demo``: the table of the shipped cohort beside that of the publication."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.printing import say
from fhircryo.errors import BUG, DONE

if TYPE_CHECKING:
    from fhircryo.research.cohort_tables import Cohort
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
    """Compute the shipped cohort of 62 patients and print the published table beside it.

    The patients are synthetic. The exit code is 1 if a figure differs from the published one.

    \b
    Example:
      fhircryo demo --out endpoints/
    """
    from fhircryo.research.cohort_folder import write_cohort
    from fhircryo.research.folder_options import FolderOptions
    from fhircryo.runs.to_folder import compute_folder
    from fhircryo.storage.shipped_files import shipped

    source = shipped("examples/bomers-2020")
    config = demo_run_config()
    same = print_table(demo_cohort(source, config))
    if out is not None:
        compute_folder(source, out, config)
        say(f"endpoints: {out}")
    if report is not None:
        write_cohort(source, report, config, FolderOptions())
        say(f"report: {report / 'report.html'}")
    raise typer.Exit(DONE if same else BUG)


def demo_run_config() -> "RunConfig":
    """The demo's configuration: default settings, so that fhircryo.toml does not change figures."""
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.settings import Settings

    return RunConfig.of(Settings.model_construct(), DEMO_AS_OF)


def demo_cohort(source: str | Path, config: "RunConfig") -> "Cohort":
    """Return the cohort of a folder or server that holds the shipped patients."""
    from fhircryo.research.cohort_tables import cohort_of
    from fhircryo.research.table_options import TableOptions
    from fhircryo.runs.read_source import read_source

    return cohort_of(read_source(source, config), config, TableOptions(str))


def print_table(found: "Cohort") -> bool:
    """Print a cohort's figures beside the published ones; return whether all are the same."""
    from rich.console import Console
    from rich.table import Table

    from fhircryo.research.results_table import results_table

    config = found.config
    rows = results_table(
        found["patients"],
        found["adverse_events"],
        config.protocol,
        config.mappings.instruments,
    )
    say(f"{config.protocol.title}, as of {config.as_of}")
    table = Table()
    for heading in ("", "fhircryo", "published", ""):
        table.add_column(heading)
    for row in rows:
        table.add_row(row.words, row.ours, row.published, "=" if row.same else "DIFFERS")
    Console().print(table)
    say(f"published: {config.protocol.source}")
    return all(row.same for row in rows)
