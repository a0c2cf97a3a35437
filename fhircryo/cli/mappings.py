"""``fhircryo mappings``: the site's codes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import Mappings
from fhircryo.cli.survey import survey

if TYPE_CHECKING:
    from fhircryo.mapping.load import Mappings as Loaded

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _mappings() -> None:
    """Codes, units, grades and questionnaires: what a hospital's record means here."""


@app.command()
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Site overlays.", show_default=False),
    ] = None,
) -> None:
    """Check the shipped mappings, and site overlays laid over them.

    \b
    Example:
      fhircryo mappings check site.yaml
    """
    mappings = _loaded(files)
    codes = sum(len(concept.codes) for concept in mappings.concepts.values())
    typer.echo(
        f"{len(mappings.files)} files: {len(mappings.concepts)} concepts with {codes} codes,"
        f" {len(mappings.units)} units, {len(mappings.scales)} grading scales,"
        f" {len(mappings.instruments)} instruments: all as expected"
    )


app.command()(survey)


@app.command()
def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="CONCEPT",
            help="A concept, scale or instrument; units, statuses, extensions or protocol."
            " [default: all]",
            show_default=False,
        ),
    ] = None,
    mappings: Mappings = None,
) -> None:
    """Print the merged mappings: every entry, and the file and line that it comes from.

    \b
    Example:
      fhircryo mappings show psa --mappings site.yaml
    """
    from fhircryo.mapping.mapping_text import show as lines

    for line in lines(_loaded(mappings).merged, name):
        typer.echo(line)


@app.command()
def schema() -> None:
    """Print the JSON Schema of site overlays, for editors that complete and check.

    \b
    Example:
      fhircryo mappings schema > overlay.schema.json
    """
    from fhircryo.mapping.overlay import json_schema

    typer.echo(json_schema(), nl=False)


@app.command()
def export(
    fhir: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Where to write, a file for each resource."),
    ],
    mappings: Mappings = None,
) -> None:
    """Write our code systems, value sets and concept maps as FHIR, for a terminology server.

    \b
    Example:
      fhircryo mappings export --fhir terminology/ --mappings site.yaml
    """
    from fhircryo.mapping.load import load_protocol
    from fhircryo.settings import load_settings
    from fhircryo.setup.terminology.terminology_folder import export as write
    from fhircryo.setup.terminology.terminology_folder import terminology

    protocol = load_protocol(load_settings().protocol)
    written = write(terminology(_loaded(mappings), protocol), fhir)
    typer.echo(f"{len(written)} resources written to {fhir}")


def _loaded(overlays: list[Path] | None) -> "Loaded":
    from fhircryo.mapping.load import load_mappings
    from fhircryo.settings import load_settings

    settings = load_settings(mappings=tuple(overlays) if overlays else None)
    return load_mappings(settings.mappings, settings.base)
