"""``fhircryo push``: a computed folder, published to a FHIR server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import (
    AcceptUnreadable,
    AllowDowngrade,
    AllowRetractions,
    DryRun,
    Exclude,
)
from fhircryo.cli.printing import say
from fhircryo.cli.published_text import exit_code, print_published
from fhircryo.cli.real_run import InputRead
from fhircryo.errors import UNREADABLE, UsageError

if TYPE_CHECKING:
    from fhircryo.publish.computed_folder import ComputedFolder
    from fhircryo.publish.target_server import Permissions, PushResult
    from fhircryo.settings import Settings


def push(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Folder that fhircryo compute wrote.", show_default=False
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="The base URL of a FHIR server.", show_default=False),
    ],
    dry_run: DryRun = False,
    exclude: Exclude = None,
    allow_retractions: AllowRetractions = False,
    allow_downgrade: AllowDowngrade = False,
    accept_unreadable: AcceptUnreadable = False,
) -> None:
    """Publish a computed folder to a FHIR server, after it has been reviewed.

    Only endpoints that differ from those on the server are written. Endpoints of the same source
    and protocol that are on the server but not in the folder are retracted (entered-in-error),
    never deleted.

    \b
    Example:
      fhircryo push endpoints/ https://fhir.hospital.example/r4 --dry-run
    """
    from fhircryo.logs import set_up_logs
    from fhircryo.publish.computed_folder import read_computed
    from fhircryo.publish.target_server import Permissions
    from fhircryo.record.patient_list import read_patient_list
    from fhircryo.settings import load_settings
    from fhircryo.sources.places import server_of

    if server_of(target) is None:
        raise UsageError(f"{target}: TARGET must be the base URL of a FHIR server")
    settings = load_settings()
    set_up_logs(settings.log_level, settings.log_format)
    computed = read_computed(folder)
    if computed.unreadable and not (accept_unreadable or dry_run):
        say(
            f"UNREADABLE: {computed.unreadable} lines or files of the source could not be read, so"
            " nothing was written. Correct them and compute again, or use --accept-unreadable.",
            err=True,
        )
        raise typer.Exit(UNREADABLE)
    objected = read_patient_list(exclude) if exclude else frozenset()
    allowed = Permissions(dry_run, allow_retractions, allow_downgrade)
    pushed = _publish(computed, target, settings, objected, allowed)
    input_read = InputRead(computed.unreadable, accepted=accept_unreadable)
    print_published(pushed, input_read)
    raise typer.Exit(exit_code(pushed, input_read))


def _publish(
    computed: "ComputedFolder",
    target: str,
    settings: "Settings",
    objected: frozenset[str],
    allowed: "Permissions",
) -> "PushResult":
    """Write what differs to the target, without the patients who objected."""
    from fhircryo.cli.progress import progress
    from fhircryo.publish.comparison import RetractionScope
    from fhircryo.publish.target_server import open_target

    patients = [patient for patient in computed.patients if patient.patient not in objected]
    requested = computed.asked_for
    with (
        progress() as (stage, advance),
        open_target(computed.server, target, computed.origin, settings, allowed) as writer,
    ):
        if stage is not None:
            stage("writing")
        scope = RetractionScope(requested | objected if requested is not None else None)
        return writer.push(patients, scope, advance)
