"""``fhircryo doctor``: whether everything that a run needs is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import Mappings, Protocol

if TYPE_CHECKING:
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.setup.doctor.check import Finding


def doctor(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[SOURCE]", help="Folder or FHIR server.", show_default=False),
    ] = None,
    target: Annotated[
        str | None,
        typer.Argument(metavar="[TARGET]", help="Folder or FHIR server.", show_default=False),
    ] = None,
    protocol: Protocol = None,
    mappings: Mappings = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for monitoring.")] = False,
) -> None:
    """Look whether everything that a run needs is there; no server or folder is written to.

    Each line is ok, a warning or a failure, with what to do. Exit code 0 without a failure, else
    that of a run that meets the first of them.

    \b
    Example:
      fhircryo doctor https://fhir.hospital.example/r4 https://fhir.hospital.example/r4
    """
    import json
    from dataclasses import asdict

    from fhircryo.cli.options import job_of
    from fhircryo.setup.doctor.check import exit_code

    job = job_of(None, protocol, mappings)
    findings = []
    for finding in _findings(source, target, job):
        findings.append(finding)
        if not as_json:
            typer.echo(_line(finding))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in findings], indent=2, ensure_ascii=False))
    raise typer.Exit(exit_code(findings))


def _findings(source: str | None, target: str | None, job: "RunConfig") -> "Iterator[Finding]":
    from fhircryo.fhir.connect import WRITING, open_client
    from fhircryo.publish.target_server import target_settings
    from fhircryo.setup.doctor.check_folder import look_at_source_folder, look_at_target_folder
    from fhircryo.setup.doctor.check_installation import look_here
    from fhircryo.setup.doctor.check_source import look_at_source
    from fhircryo.setup.doctor.check_target import look_at_target
    from fhircryo.sources.places import server_of

    yield from look_here(job.settings, job)
    if source is not None and server_of(source) is not None:
        with open_client(source, job.settings.source) as client:
            yield from look_at_source(client, job)
    elif source is not None:
        yield from look_at_source_folder(Path(source), job)
    if target is not None and server_of(target) is not None:
        server = source if source is not None and server_of(source) is not None else None
        with open_client(target, target_settings(server, target, job.settings), WRITING) as client:
            yield from look_at_target(client, job)
    elif target is not None:
        folder = Path(source) if source is not None and server_of(source) is None else None
        yield look_at_target_folder(Path(target), folder)


def _line(finding: "Finding") -> str:
    advice = f"; {finding.advice}" if finding.advice else ""
    return f"{finding.status:<8} {finding.part:<7} {finding.check:<37} {finding.words}{advice}"
