"""``fhircryo export``: the resources of a server as a folder, by bulk export."""

from pathlib import Path
from typing import Annotated

import typer

from fhircryo.cli.options import ServerSource
from fhircryo.cli.printing import say
from fhircryo.errors import UNREADABLE, UsageError


def export(
    source: ServerSource,
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="New folder for the files.", show_default=False),
    ],
    level: Annotated[
        str,
        typer.Option("--bulk", metavar="system|patient|Group/ID", help="Level of the export."),
    ] = "system",
    mappings: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Site overlay whose codes are also exported; repeatable."
        ),
    ] = None,
) -> None:
    """Download the resources that fhircryo reads from SOURCE into FOLDER.

    FOLDER can then be the SOURCE of other commands.

    \b
    Example:
      fhircryo export https://fhir.hospital.example/r4 export/
      fhircryo compute export/ endpoints/
    """
    from fhircryo.cli.progress import progress
    from fhircryo.cli.run_options import RunOptions
    from fhircryo.fhir.bulk.exporting import Watch
    from fhircryo.setup.bulk_download import download
    from fhircryo.sources.places import server_of

    if server_of(source) is None:
        raise UsageError(f"{source}: SOURCE must be the base URL of a FHIR server")
    config = RunOptions(mappings=mappings).config()
    with progress() as (stage, advance):
        watch = Watch(stage, advance) if stage and advance else Watch()
        done = download(source, folder, level, config, watch)
    for words in done.errors:
        say(f"ERROR reported by the server: {words}", err=True)
    say(f"{folder}: {len(done.files)} files, as of {done.at or 'an unknown time'}")
    if done.errors:
        raise typer.Exit(UNREADABLE)
