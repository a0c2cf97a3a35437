"""What commands that write to a FHIR server have in common: options, words, exit code."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.errors import DONE, REJECTED, UNREADABLE

if TYPE_CHECKING:
    from fhircryo.publish.difference import Change, PatientChanges
    from fhircryo.publish.target_server import PushResult

DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show what would change on the server, and write nothing."),
]
AllowRetractions = Annotated[
    bool,
    typer.Option("--allow-retractions", help="Retract endpoints of however many patients at once."),
]
AcceptUnreadable = Annotated[
    bool,
    typer.Option("--accept-unreadable", help="Write to a server though something was unreadable."),
]


def print_pushed(pushed: "PushResult") -> None:
    """The difference on stdout where it was only looked at; what was done, on stderr."""
    from fhircryo.publish.difference import Action

    if pushed.dry_run:
        for patient in pushed.difference.changed():
            print("\n".join(_difference(patient)))
    counts = pushed.difference.counts()
    done = counts if pushed.dry_run else pushed.written.endpoints
    lines = [f"NOT WRITTEN: Patient/{patient}: {why}" for patient, why in pushed.rejected.items()]
    for action in (Action.NEW, Action.CHANGED, Action.RETRACTED):
        lines.append(f"{action:<12} {done[action]:>10}")
    lines.append(f"{Action.UNCHANGED:<12} {counts[Action.UNCHANGED]:>10}")
    if pushed.rejected:
        lines.append(f"not written  {len(pushed.rejected):>10}   patients")
    if pushed.dry_run:
        lines.append("A dry run: nothing was written.")
    print("\n".join(lines), file=sys.stderr)


def exit_code(pushed: "PushResult | None", unreadable: int) -> int:
    """What a run that came to its end ends with; a rejection is the graver."""
    if pushed is not None and pushed.rejected:
        return REJECTED
    return UNREADABLE if unreadable else DONE


def _difference(patient: "PatientChanges") -> list[str]:
    """A line for each endpoint that changes; one for all of a patient who is new or gone."""
    from fhircryo.publish.difference import Action

    actions = {change.action for change in patient.changes}
    whole = not patient.unchanged and len(actions) == 1 and actions != {Action.CHANGED}
    if whole:
        return [f"{actions.pop():<10} Patient/{patient.patient}: {len(patient.changes)} endpoints"]
    return [_line(patient.patient, change) for change in patient.changes]


def _line(patient: str, change: "Change") -> str:
    arrow = " -> " if change.before and change.after else ""
    return (
        f"{change.action:<10} Patient/{patient} {change.name}: {change.before}{arrow}{change.after}"
    )
