"""``fhircryo explain``: one patient's story."""

from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import AsOf, Exclude, Mappings, Protocol, Source
from fhircryo.errors import DONE, UNREADABLE, UsageError

if TYPE_CHECKING:
    from fhircryo.setup.explanation import Story


def explain(
    source: Source,
    patient: Annotated[
        str | None,
        typer.Argument(metavar="[PATIENT]", help="A patient's id.", show_default=False),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only this endpoint's reasoning.")
    ] = None,
    as_of: AsOf = None,
    protocol: Protocol = None,
    mappings: Mappings = None,
    patients: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|Group/ID", help="These patients, one after another, instead of PATIENT."
        ),
    ] = None,
    exclude: Exclude = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Tell one patient's story in time order, each endpoint's reasoning, and what was not used.

    \b
    Example:
      fhircryo explain examples/bomers-2020 2029487 --endpoint biochemical-failure
      fhircryo explain https://fhir.hospital.example/r4 --patients Group/cryo-trial --json
    """
    import json

    from fhircryo.cli.options import job_of
    from fhircryo.setup.explanation import explain_patient

    if (patient is None) == (patients is None):
        raise UsageError("name one PATIENT, or several with --patients")
    job = job_of(as_of, protocol, mappings, source, patients, exclude)
    asked = [patient.removeprefix("Patient/")] if patient else sorted(job.selection.include or ())
    stories = [explain_patient(source, one, job, endpoint) for one in asked]
    if as_json:
        told = [story.as_dict() for story in stories]
        typer.echo(json.dumps(told[0] if patient else told, indent=2, ensure_ascii=False))
    else:
        typer.echo("\n\n".join("\n".join(_lines(story)) for story in stories))
    unreadable = max(story.unreadable for story in stories)
    if unreadable:
        typer.echo(
            f"UNREADABLE: {unreadable} lines or files of the source; something of his may be"
            " among them",
            err=True,
        )
    raise typer.Exit(UNREADABLE if unreadable else DONE)


def _lines(story: "Story") -> list[str]:
    lines = [f"Patient/{story.patient}  protocol {story.protocol}, as of {story.as_of}"]
    if story.index is None:
        lines += [
            "",
            "No index procedure: he is outside the cohort, and has no endpoints.",
        ]
    else:
        lines += [
            "",
            "TIME LINE",
            *_moments(story),
            "",
            "ENDPOINTS",
            *_endpoints(story),
        ]
    lines += ["", "NOT USED"]
    for unused in story.not_used:
        mark = "used, but " if unused.used else ""
        detail = f"  {unused.detail}" if unused.detail else ""
        lines.append(f"  {unused.resource:<40} {mark}{unused.reason}{detail}")
    if not story.not_used:
        lines.append("  nothing: every resource of his, of the types that are read, is used")
    return lines


def _moments(story: "Story") -> list[str]:
    width = max((len(moment.date) for moment in story.moments), default=10)
    lines = []
    for moment in story.moments:
        day = "" if moment.day is None else "D0" if moment.day == 0 else f"{moment.day:+d} d"
        ref = f"  [{moment.resource}]" if moment.resource else ""
        lines.append(f"  {moment.date:<{width}} {day:>8}  {moment.what}{ref}")
    return lines


def _endpoints(story: "Story") -> list[str]:
    lines = []
    for told in story.endpoints:
        name = f"{told.endpoint} {told.time_point}".strip()
        lines.append(f"  {name}: {told.value}  [{told.status}, {told.effective}]")
        lines += [f"      {because}" for because in told.because]
    return lines
