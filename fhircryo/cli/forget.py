"""``fhircryo forget``: the erasure of one patient's endpoints."""

from typing import Annotated

import typer

from fhircryo.cli.options import Config, Yes
from fhircryo.cli.printing import confirmed, say
from fhircryo.errors import DONE, REJECTED


def forget(
    patient: Annotated[
        str, typer.Argument(metavar="PATIENT", help="A patient's id.", show_default=False)
    ],
    config: Config = None,
    yes: Yes = False,
) -> None:
    """Erase a patient's published endpoints from the target and the state.

    To keep the patient from being computed again, add the id to the list of patients who objected
    (sync.exclude). Resources that the target does not allow to be deleted are listed; the exit
    code is 5 if there are any. It is 2 if neither the state nor the target knows the patient.

    \b
    Example:
      fhircryo forget 2029487 --config /etc/fhircryo/fhircryo.toml
    """
    from fhircryo.cli.run_options import scheduled_settings, with_patients
    from fhircryo.runs.sync.erasure import forget_patient

    run_config = with_patients(scheduled_settings(config))
    name = patient.removeprefix("Patient/")
    if not yes and not confirmed(f"Delete all endpoints of Patient/{name} from the target?"):
        raise typer.Exit(DONE)
    done = forget_patient(run_config, name)
    say(f"deleted      {len(done.deleted):>8}   resources of the target")
    for ref, why in done.left.items():
        say(f"LEFT: {ref}: {why}")
    if name not in run_config.selection.exclude:
        say(
            f"Patient/{name} is not on the list of patients who objected (sync.exclude), so the"
            " next run will compute the patient again."
        )
    say(
        "Backups, earlier log lines and folders that were computed before may still hold data of"
        " the patient."
    )
    raise typer.Exit(REJECTED if done.left else DONE)
