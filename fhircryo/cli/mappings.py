"""``fhircryo mappings``: the shipped mappings and a site's overlays."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.mapping_cases import check_cases
from fhircryo.cli.options import Mappings
from fhircryo.cli.printing import say
from fhircryo.cli.survey import survey

if TYPE_CHECKING:
    from fhircryo.mapping.load import Mappings as LoadedMappings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _mappings() -> None:
    """Inspect and extend the mappings: codes, units, grades and questionnaires."""


@app.command()
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Site overlays.", show_default=False),
    ] = None,
) -> None:
    """Check the shipped mappings together with site overlays.

    \b
    Example:
      fhircryo mappings check site.yaml
    """
    mappings = _loaded(files)
    codes = sum(len(concept.codes) for concept in mappings.concepts.values())
    say(
        f"{len(mappings.files)} files: {len(mappings.concepts)} concepts with {codes} codes,"
        f" {len(mappings.units)} units, {len(mappings.scales)} grading scales,"
        f" {len(mappings.instruments)} instruments: all as expected"
    )


app.command()(survey)
app.command("test")(check_cases)


@app.command()
def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="CONCEPT",
            help="The name of a concept, scale or instrument, or one of units, statuses, extensions"
            " and protocol. [default: all]",
            show_default=False,
        ),
    ] = None,
    mappings: Mappings = None,
) -> None:
    """Print the merged mappings, with the file and line from which each entry comes.

    \b
    Example:
      fhircryo mappings show psa --mappings site.yaml
    """
    from fhircryo.mapping.mapping_text import show as lines

    say(*lines(_loaded(mappings).merged, name))


@app.command()
def schema() -> None:
    """Print the JSON Schema of site overlays, for editors that complete and validate.

    \b
    Example:
      fhircryo mappings schema > overlay.schema.json
    """
    from fhircryo.mapping.overlay import json_schema

    say(*json_schema().splitlines())


@app.command()
def export(
    fhir: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Folder to write to, one file per resource."),
    ],
    mappings: Mappings = None,
) -> None:
    """Write code systems, value sets and concept maps as FHIR, for a terminology server.

    \b
    Example:
      fhircryo mappings export --fhir terminology/ --mappings site.yaml
    """
    from fhircryo.mapping.load import load_protocol
    from fhircryo.settings import load_settings
    from fhircryo.setup.terminology.terminology_folder import terminology, write_resources

    protocol = load_protocol(load_settings().protocol)
    written = write_resources(terminology(_loaded(mappings), protocol), fhir)
    say(f"{len(written)} resources written to {fhir}")


@app.command()
def views(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder to write to, one file per view.")
    ],
    mappings: Mappings = None,
) -> None:
    """Write SQL-on-FHIR views of endpoints, PSA results and adverse events.

    \b
    Example:
      fhircryo mappings views views/ --mappings site.yaml
    """
    from fhircryo.setup.terminology.terminology_folder import write_resources
    from fhircryo.setup.view_definitions import view_definitions

    written = write_resources(view_definitions(_loaded(mappings)), folder)
    say(f"{len(written)} views written to {folder}")


def _loaded(overlays: list[Path] | None) -> "LoadedMappings":
    from fhircryo.mapping.load import load_mappings
    from fhircryo.settings import load_settings

    settings = load_settings(mappings=tuple(overlays) if overlays else None)
    return load_mappings(settings.mappings, settings.base)
