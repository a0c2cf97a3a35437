"""``fhircryo pool``: cohort folders of several hospitals as one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import FigureFormats, Mappings, Protocol, chosen_formats
from fhircryo.cli.printing import say
from fhircryo.cli.run_options import RunOptions
from fhircryo.errors import UsageError

if TYPE_CHECKING:
    from fhircryo.research.pool.pool_folder import Pooled

#: Two folders of hospitals, and OUT.
_LEAST_FOLDERS = 3


def pool(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER... OUT",
            help="Folders that fhircryo cohort wrote, one for each hospital; the last is the folder"
            " to write to.",
            show_default=False,
        ),
    ],
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name of a hospital, once for each FOLDER in their order. [default: the folders'"
            " names]",
            show_default=False,
        ),
    ] = None,
    formats: Annotated[
        str,
        typer.Option("--format", metavar="LIST", help="Formats of the tables: csv, parquet."),
    ] = "csv,parquet",
    figures: FigureFormats = "svg",
    protocol: Protocol = None,
    mappings: Mappings = None,
) -> None:
    """Pool the cohorts of several hospitals: tables, and a report by site and together.

    The folders are pseudonymised or aggregate-only, of the same protocol and version. Aggregates
    take part in the rates alone.

    \b
    Example:
      fhircryo pool nijmegen/ oslo/ pooled/
      fhircryo pool a/ b/ c/ pooled/ --name Nijmegen --name Oslo --name Rochester
    """
    from fhircryo.research.folder_options import FIGURE_FORMATS
    from fhircryo.research.pool.pool_folder import (
        POOL_FORMATS,
        REPORT,
        PoolFormats,
        read_manifests,
        shipped_protocol,
    )
    from fhircryo.research.pool.pool_folder import pool as pool_sites

    if len(folders) < _LEAST_FOLDERS:
        raise UsageError("name two or more FOLDERs of hospitals, and OUT, the folder to write to")
    *inputs, out = folders
    chosen = PoolFormats(
        chosen_formats(formats, POOL_FORMATS), chosen_formats(figures, FIGURE_FORMATS, "--figures")
    )
    manifests = read_manifests(inputs, name or [], out)
    latest = max(manifest.as_of for manifest in manifests)
    named = protocol or shipped_protocol(manifests)
    config = RunOptions(as_of=latest, protocol=named, mappings=mappings).config()
    pooled = pool_sites(manifests, out, chosen, config)
    _print_sites(pooled)
    say(f"pooled: {out}")
    say(f"report: {out / REPORT}")


def _print_sites(pooled: "Pooled") -> None:
    """Print on stderr what was pooled, beginning with what may be wrong."""
    if pooled.shared:
        say(
            f"warning: {pooled.shared} pseudonyms occur at several sites and are taken for"
            " different patients; if sites were pulled with one key, the same patients may count"
            " twice",
            err=True,
        )
    for site in pooled.sites:
        count = "hidden" if site.patients is None else str(site.patients)
        kind = "" if site.tables else "   aggregate only: takes part in the rates"
        say(f"{count:>8} patients   as of {site.manifest.as_of}   {site.name}{kind}", err=True)
