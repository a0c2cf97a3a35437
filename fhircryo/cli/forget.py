"""``fhircryo forget``: a patient's erasure."""

from typing import Annotated

import typer

from fhircryo.cli.options import Config
from fhircryo.errors import DONE, REJECTED


def forget(
    patient: Annotated[
        str, typer.Argument(metavar="PATIENT", help="A patient's id.", show_default=False)
    ],
    config: Config = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase what was published of a patient: delete it from the target and from the state.

    The list of who objected (sync.exclude) keeps him from being computed again. What the target
    does not let us delete is named; it is retracted then. Exit code 5 where anything is left.

    \b
    Example:
      fhircryo forget 2029487 --config /etc/fhircryo.toml
    """
    from fhircryo.cli.options import scheduled_job
    from fhircryo.runs.sync.erasure import forget_patient

    job = scheduled_job(config)
    name = patient.removeprefix("Patient/")
    if not yes and not typer.confirm(f"Delete all endpoints of Patient/{name} from the target?"):
        raise typer.Exit(DONE)
    done = forget_patient(job, name)
    typer.echo(f"deleted      {len(done.deleted):>8}   resources of the target")
    for ref, why in done.left.items():
        typer.echo(f"LEFT: {ref}: {why}")
    if name not in job.selection.exclude:
        typer.echo(
            f"Patient/{name} is not on the list of who objected (sync.exclude): the next run"
            " computes him again"
        )
    typer.echo("Not reached: backups, earlier log lines, folders that were computed before.")
    raise typer.Exit(REJECTED if done.left else DONE)
