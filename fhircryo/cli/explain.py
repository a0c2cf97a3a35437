"""``fhircryo explain``: one patient's story."""

from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import AsOf, Exclude, Mappings, Protocol, Source
from fhircryo.errors import DONE, UNREADABLE

if TYPE_CHECKING:
    from fhircryo.explain import Story


def explain(
    source: Source,
    patient: Annotated[
        str,
        typer.Argument(metavar="PATIENT", help="A patient's id.", show_default=False),
    ],
    endpoint: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only this endpoint's reasoning.")
    ] = None,
    as_of: AsOf = None,
    protocol: Protocol = None,
    mappings: Mappings = None,
    exclude: Exclude = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Tell one patient's story in time order, each endpoint's reasoning, and what was not used.

    \b
    Example:
      fhircryo explain examples/bomers-2020 2029487 --endpoint biochemical-failure
    """
    import json

    from fhircryo.cli.options import job_of
    from fhircryo.explain import explain_folder

    job = job_of(as_of, protocol, mappings, exclude=exclude)
    story = explain_folder(source, patient.removeprefix("Patient/"), job, endpoint)
    if as_json:
        typer.echo(json.dumps(story.as_dict(), indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(story)))
    if story.unreadable:
        typer.echo(
            f"UNREADABLE: {story.unreadable} lines or files of the source; something of his may be"
            " among them",
            err=True,
        )
    raise typer.Exit(UNREADABLE if story.unreadable else DONE)


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
