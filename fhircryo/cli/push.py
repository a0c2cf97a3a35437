"""``fhircryo push``: a computed folder, written to a FHIR server."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fhircryo.cli.options import Exclude
from fhircryo.cli.writing import (
    AcceptUnreadable,
    AllowRetractions,
    DryRun,
    exit_code,
    print_pushed,
)
from fhircryo.errors import UNREADABLE, UsageError


def push(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="What compute wrote.", show_default=False),
    ],
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="The base URL of a FHIR server.", show_default=False),
    ],
    dry_run: DryRun = False,
    exclude: Exclude = None,
    allow_retractions: AllowRetractions = False,
    accept_unreadable: AcceptUnreadable = False,
) -> None:
    """Write a computed folder to a FHIR server: review first, publish after.

    Only what differs is written. What stands there of the same source and protocol and was not
    computed any more is retracted (entered-in-error), never deleted.

    \b
    Example:
      fhircryo push endpoints/ https://fhir.hospital.example/r4 --dry-run
    """
    from fhircryo.cli.progress import progress
    from fhircryo.logs import set_up_logs
    from fhircryo.publish.comparison import RetractionScope
    from fhircryo.publish.computed_folder import read_computed
    from fhircryo.publish.target_server import Permissions, open_target
    from fhircryo.record.patient_list import read_patient_list
    from fhircryo.settings import load_settings
    from fhircryo.sources.places import server_of

    if server_of(target) is None:
        raise UsageError(f"{target}: TARGET is the base URL of a FHIR server")
    settings = load_settings()
    set_up_logs(settings.log_level, settings.log_format)
    computed = read_computed(folder)
    if computed.unreadable and not (accept_unreadable or dry_run):
        print(
            f"UNREADABLE: {computed.unreadable} lines or files of the source, so nothing was"
            " written; mend them, or --accept-unreadable",
            file=sys.stderr,
        )
        raise typer.Exit(UNREADABLE)
    objected = read_patient_list(exclude) if exclude else frozenset()
    patients = [one for one in computed.patients if one.patient not in objected]
    asked = computed.asked_for
    allowed = Permissions(dry_run, allow_retractions)
    with (
        progress() as (stage, advance),
        open_target(computed.server, target, computed.origin, settings, allowed) as writing,
    ):
        if stage is not None:
            stage("writing")
        scope = RetractionScope(asked | objected if asked is not None else None)
        pushed = writing.push(patients, scope, advance)
    print_pushed(pushed)
    raise typer.Exit(exit_code(pushed, computed.unreadable))
