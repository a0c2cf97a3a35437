"""``fhircryo mappings survey``: the codes in a source, and how they are mapped."""

from pathlib import Path
from typing import Annotated

import typer

from fhircryo.cli.options import Exclude, Mappings, Source
from fhircryo.cli.printing import say
from fhircryo.errors import DONE, UNREADABLE


def survey(
    source: Source,
    mappings: Mappings = None,
    exclude: Exclude = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the whole survey to this file, as JSON."),
    ] = None,
    draft: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write a draft overlay, with all candidates as comments."
        ),
    ] = None,
    pages: Annotated[
        int,
        typer.Option(min=1, help="Number of pages to read of each search, if SOURCE is a server."),
    ] = 2,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """List the codes, units, questionnaires and grades in SOURCE, and suggest how to map them.

    \b
    Example:
      fhircryo mappings survey export/ --out survey.json --draft site.yaml
    """
    from fhircryo.cli.progress import progress
    from fhircryo.mapping.load import load_mappings
    from fhircryo.record.patient_list import read_patient_list
    from fhircryo.settings import load_settings
    from fhircryo.setup.survey.overlay_draft import draft_overlay
    from fhircryo.setup.survey.run_survey import survey as run_survey
    from fhircryo.setup.survey.survey_text import survey_lines
    from fhircryo.storage.atomic import check_absent, write_whole

    for option, path in (("--out", out), ("--draft", draft)):
        if path is not None:
            check_absent(path, option, force=force)
    settings = load_settings(mappings=tuple(mappings) if mappings else None)
    excluded = read_patient_list(exclude) if exclude else frozenset()
    with progress() as (_, advance):
        found = run_survey(source, settings, pages, excluded, advance)
    say(*survey_lines(found))
    if out is not None:
        write_whole(out, found.as_json())
    if draft is not None:
        loaded = load_mappings(settings.mappings, settings.base)
        write_whole(draft, draft_overlay(found, loaded).encode())
    if found.unreadable:
        say(
            f"UNREADABLE: {found.unreadable} resources or files could not be read;"
            " `fhircryo compute` lists them",
            err=True,
        )
    raise typer.Exit(UNREADABLE if found.unreadable else DONE)
