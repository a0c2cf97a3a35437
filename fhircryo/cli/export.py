"""``fhircryo export``: a server's resources as a folder, by bulk export."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fhircryo.errors import UNREADABLE, UsageError


def export(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Base URL of a FHIR server.", show_default=False)
    ],
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Folder for the files; a new one.", show_default=False
        ),
    ],
    level: Annotated[
        str,
        typer.Option("--bulk", metavar="system|patient|Group/ID", help="What is exported."),
    ] = "system",
    mappings: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Site overlay: its codes are exported too; repeatable."),
    ] = None,
) -> None:
    """Download what fhircryo reads from SOURCE into FOLDER, to be computed from there.

    \b
    Example:
      fhircryo export https://fhir.hospital.example/r4 export/
      fhircryo compute export/ endpoints/
    """
    from fhircryo import __version__
    from fhircryo.cli.options import job_of
    from fhircryo.cli.progress import progress
    from fhircryo.fhir.bulk.export_job import cancel
    from fhircryo.fhir.bulk.exporting import Watch
    from fhircryo.fhir.bulk.exporting import export as run
    from fhircryo.fhir.capability import capabilities
    from fhircryo.fhir.client import without_query
    from fhircryo.fhir.connect import open_client
    from fhircryo.publish.folder_target import check_target, writing_to
    from fhircryo.sources.bulk_source import asked_for, level_of, needs_of
    from fhircryo.sources.places import server_of
    from fhircryo.storage.work_folder import work_folder

    if server_of(source) is None:
        raise UsageError(f"{source}: SOURCE is the base URL of a FHIR server")
    check_target(folder, None, own=frozenset())
    level = level_of(level)
    job = job_of(None, None, mappings)
    with (
        progress() as (stage, advance),
        work_folder(folder, without_query(source)) as work,
        open_client(source, job.settings.source, needs_of(level)) as client,
    ):
        asked = asked_for(level, job.mappings, capabilities(client))
        watch = Watch()
        if stage is not None and advance is not None:
            watch = Watch(stage, advance)
        done = run(client, asked, work, job.settings.source.bulk_patience, watch)
        files = sorted(done.files.iterdir())
        told = {
            "fhircryo": __version__,
            "server": without_query(client.base),
            "level": level,
            "at": done.at,
            "files": {file.name: file.stat().st_size for file in files},
            "errors": done.errors,
        }
        with writing_to(folder, frozenset()) as made:
            for file in files:
                file.rename(made / file.name)
            text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
            (made / "manifest.json").write_text(text, encoding="utf-8")
        cancel(client, done.status_url)
    for words in done.errors:
        typer.echo(f"ERROR of the server: {words}", err=True)
    typer.echo(f"{folder}: {len(files)} files, as of {done.at or 'an unknown time'}")
    if done.errors:
        raise typer.Exit(UNREADABLE)
