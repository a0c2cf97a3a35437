"""``fhircryo terminology``: what others need to check and use what is published."""

from pathlib import Path
from typing import Annotated

import typer

from fhircryo.cli.options import Mappings
from fhircryo.cli.printing import say
from fhircryo.setup.conformance.releases import Release

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _terminology() -> None:
    """Write the profiles and the terminology of published endpoints."""


@app.command()
def package(
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="File to write, such as package.tgz."),
    ],
    fhir: Annotated[
        Release, typer.Option(help="Release of FHIR of the server or validator that loads it.")
    ] = Release.R4,
    mappings: Mappings = None,
) -> None:
    """Write a FHIR package (NPM) of profiles, terminology, requirements and examples.

    A server or validator that has loaded it checks published endpoints against their profiles.

    \b
    Example:
      fhircryo terminology package package.tgz --fhir R4
    """
    from fhircryo.mapping.load import load_mappings, load_protocol
    from fhircryo.settings import load_settings
    from fhircryo.setup.conformance.package import package as made
    from fhircryo.setup.conformance.package import write_package

    settings = load_settings(mappings=tuple(mappings) if mappings else None)
    merged = load_mappings(settings.mappings, settings.base)
    content = made(merged, load_protocol(settings.protocol), fhir)
    write_package(content, out)
    say(
        f"{out}: package {content.name} {content.manifest['version']}:"
        f" {len(content.resources)} resources, {len(content.examples)} examples"
    )
