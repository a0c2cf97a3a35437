"""``fhircryo compute``: a source's endpoints, written to a target."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import AsOf, Exclude, Mappings, Protocol, Source
from fhircryo.errors import DONE, UNREADABLE, UsageError

if TYPE_CHECKING:
    from fhircryo.summary import Summary

_BIG = 64 << 20


def compute(
    source: Source,
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="Folder to write to.", show_default=False),
    ],
    as_of: AsOf = None,
    protocol: Protocol = None,
    mappings: Mappings = None,
    patients: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|Group/ID", help="Only these patients: a file, one id a line; or a Group."
        ),
    ] = None,
    exclude: Exclude = None,
    workers: Annotated[
        int,
        typer.Option(min=0, help="Processes to share the work; 0: as many as the size is worth."),
    ] = 0,
    validate: Annotated[
        bool,
        typer.Option("--validate", help="Check every written resource with FHIR R4B's models."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Write beside what else the target folder holds."),
    ] = False,
) -> None:
    """Compute the endpoints of every patient in SOURCE and write them to TARGET as FHIR.

    \b
    Example:
      fhircryo compute export/ endpoints/ --as-of 2017-12-31
      fhircryo compute https://fhir.hospital.example/r4 endpoints/
    """
    from fhircryo.cli.options import job_of
    from fhircryo.cli.progress import progress
    from fhircryo.pipeline import compute_folder
    from fhircryo.source import is_url

    if is_url(target):
        raise UsageError(f"{target}: TARGET is a folder; writing to a FHIR server is not there yet")
    job = job_of(as_of, protocol, mappings, source, patients, exclude)
    with progress() as (stage, advance):
        summary = compute_folder(
            source,
            Path(target),
            job,
            workers=workers or _workers(source),
            validate=validate,
            force=force,
            progress=advance,
            stage=stage,
        )
    print_summary(summary, narrowed=patients is not None or exclude is not None)
    raise typer.Exit(UNREADABLE if summary.unreadable else DONE)


def _workers(source: str) -> int:
    import os

    from fhircryo.parallel import CAN_FORK

    folder = Path(source)
    if not CAN_FORK or not folder.is_dir():
        return 1
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return min(os.cpu_count() or 1, 1 + size // _BIG)


def print_summary(summary: "Summary", *, narrowed: bool = False) -> None:
    """What a run did, on stderr; what is wrong comes first.

    ``narrowed``: only some patients were asked for.
    """
    lines = []
    if summary.unreadable:
        lines.append(
            f"UNREADABLE: {summary.unreadable} lines or files; see issues.ndjson, and do not take"
            " the rest for the whole"
        )
    for kind in summary.lacking:
        lines.append(
            f"LACKING: no {kind} in the whole source: endpoints that would rest on there being"
            " none are absent (source-lacks-type)"
        )
    for patient in summary.unknown_patients:
        lines.append(f"UNKNOWN: Patient/{patient} was asked for and is not in the source")
    for name in summary.passed_over:
        lines.append(f"not read: {name}")
    lines += [
        f"patients     {summary.patients:>10}",
        f"in cohort    {summary.cohort:>10}",
        f"endpoints    {summary.observations:>10}",
        f"resources    {summary.resources:>10}   used {summary.used},"
        f" not used {sum(summary.not_used.values())},"
        f" of types that are not read {sum(summary.other_types.values())}",
    ]
    for reason, number in summary.not_used.items():
        lines.append(f"  not used   {number:>10}   {reason}")
    for reason, number in summary.notes.items():
        lines.append(f"  used, but  {number:>10}   {reason}")
    if not summary.cohort and not narrowed:
        lines.append("No patient has an index procedure: are the site's codes mapped (--mappings)?")
    print("\n".join(lines), file=sys.stderr)
