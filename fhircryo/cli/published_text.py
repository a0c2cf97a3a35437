"""The words and the exit code of a command that writes endpoints to a FHIR server."""

from typing import TYPE_CHECKING

from fhircryo.cli.printing import say
from fhircryo.cli.real_run import InputRead, real_run
from fhircryo.errors import DONE, REJECTED, UNREADABLE

if TYPE_CHECKING:
    from fhircryo.publish.difference import Change, Difference, PatientChanges
    from fhircryo.publish.target_server import PushResult

NOTHING_WRITTEN = (
    "Nothing was written because part of the source could not be read. Correct the source, or use"
    " --accept-unreadable."
)


def print_published(pushed: "PushResult", input_read: InputRead) -> None:
    """Print the counts of what was written on stderr; the changes of a dry run on stdout."""
    from fhircryo.publish.difference import Action

    if pushed.dry_run:
        for patient in pushed.difference.changed():
            say(*_patient_lines(patient))
    counts = pushed.difference.counts()
    done = counts if pushed.dry_run else pushed.written.endpoints
    lines = changed_lines(pushed.difference) if pushed.dry_run else []
    lines += [f"NOT WRITTEN: Patient/{patient}: {why}" for patient, why in pushed.rejected.items()]
    for action in (Action.NEW, Action.CHANGED, Action.RETRACTED):
        lines.append(f"{action:<12} {done[action]:>10}")
    lines.append(f"{Action.UNCHANGED:<12} {counts[Action.UNCHANGED]:>10}")
    if pushed.warnings:
        lines.append(f"warnings     {len(pushed.warnings):>10}   of TARGET, which stand above")
    if pushed.rejected:
        lines.append(f"not written  {len(pushed.rejected):>10}   patients")
    if pushed.dry_run:
        lines.append("This was a dry run: nothing was written.")
        lines.append(real_run(pushed, input_read).words)
    say(*lines, err=True)


def changed_lines(difference: "Difference") -> list[str]:
    """The changes of a dry run, counted by endpoint, value and status."""
    from fhircryo.publish.changed_answers import changed_answers

    found = changed_answers(difference)
    if not (found.answers or found.same_answer):
        return []
    lines = ["changes by endpoint:"]
    for (name, before, after), number in sorted(found.answers.items()):
        to = "another value" if before == after else after
        lines.append(f"  {number:>10}   {name}: {before} -> {to}")
    if found.same_answer:
        lines.append(
            f"  {found.same_answer:>10}   the same value, but another date, evidence, component,"
            " status, profile or protocol version"
        )
    for (before, after), number in sorted(found.statuses.items()):
        lines.append(f"  {number:>10}   status {before} -> {after}")
    return lines


def exit_code(pushed: "PushResult | None", input_read: InputRead) -> int:
    """Return the exit code of a finished run; a rejection takes precedence over unreadable input.

    ``pushed``: None if nothing was written. A dry run ends like the real run, as far as it can know
    that.
    """
    if pushed is not None and pushed.dry_run:
        return real_run(pushed, input_read).exit_code
    if pushed is not None and pushed.rejected:
        return REJECTED
    return UNREADABLE if input_read.unreadable else DONE


def _patient_lines(patient: "PatientChanges") -> list[str]:
    """A line for each endpoint that changes, or one line if all are new or all are retracted."""
    from fhircryo.publish.difference import Action

    actions = {change.action for change in patient.changes}
    alike = not patient.unchanged and len(actions) == 1 and actions != {Action.CHANGED}
    if alike:
        return [f"{actions.pop():<10} Patient/{patient.patient}: {len(patient.changes)} endpoints"]
    return [_change_line(patient.patient, change) for change in patient.changes]


def _change_line(patient: str, change: "Change") -> str:
    arrow = " -> " if change.before and change.after else ""
    return (
        f"{change.action:<10} Patient/{patient} {change.name}: {change.before}{arrow}{change.after}"
    )
