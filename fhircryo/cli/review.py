"""``fhircryo review``: pages on which people check the endpoints of each patient."""

from pathlib import Path
from typing import Annotated

import typer

from fhircryo.cli.options import (
    AcceptWithheld,
    AsOf,
    Exclude,
    Mappings,
    Patients,
    Protocol,
    Source,
    Workers,
)
from fhircryo.cli.printing import say
from fhircryo.cli.run_options import RunOptions, SourceOptions
from fhircryo.errors import DONE, UNREADABLE


def review(
    source: Source,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder to write to: a new one, or one that an earlier review wrote.",
            show_default=False,
        ),
    ],
    as_of: AsOf = None,
    protocol: Protocol = None,
    mappings: Mappings = None,
    patients: Patients = None,
    exclude: Exclude = None,
    workers: Workers = 0,
    accept_withheld: AcceptWithheld = False,
) -> None:
    """Write a page for each patient on which reviewers mark the endpoints, with patients' ids.

    \b
    Example:
      fhircryo review export/ review/ --as-of 2017-12-31
      fhircryo cohort export/ cohort/ --as-of 2017-12-31 --review decisions-AB.csv
    """
    from fhircryo.cli.progress import progress
    from fhircryo.review.review_folder import write_review
    from fhircryo.runs.execution import Execution

    run = RunOptions(
        source, as_of, protocol, mappings, patients, exclude, accept_withheld=accept_withheld
    )
    config = run.config()
    with progress() as (stage, advance):
        count = SourceOptions(workers).worker_count(source)
        how = Execution(workers=count, progress=advance, stage=stage)
        found = write_review(source, folder, config, how)
    changed = f", {found.changed} endpoints changed since the last review" if found.changed else ""
    say(
        f"identified: {folder}", f"review: {folder}/index.html ({found.patients} patients{changed})"
    )
    if found.unreadable:
        say(f"UNREADABLE: {found.unreadable} lines or files; fhircryo compute lists them", err=True)
    raise typer.Exit(UNREADABLE if found.unreadable else DONE)
