"""``fhircryo mappings``: the site's codes."""

from pathlib import Path
from typing import Annotated

import typer

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
    from fhircryo.mapping.load import load_mappings
    from fhircryo.settings import load_settings

    settings = load_settings(mappings=tuple(files) if files else None)
    mappings = load_mappings(settings.mappings, settings.base)
    codes = sum(len(concept.codes) for concept in mappings.concepts.values())
    typer.echo(
        f"{len(mappings.files)} files: {len(mappings.concepts)} concepts with {codes} codes,"
        f" {len(mappings.units)} units, {len(mappings.scales.scales)} grading scales,"
        f" {len(mappings.instruments)} instruments: all as expected"
    )
