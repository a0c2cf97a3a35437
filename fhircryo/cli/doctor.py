"""``fhircryo doctor``: whether everything that a run needs is in place."""

from typing import Annotated

import typer

from fhircryo.cli.options import Config, Json, Mappings, Protocol
from fhircryo.cli.printing import say, say_json


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
    config: Config = None,
    write_device: Annotated[
        bool,
        typer.Option(
            "--write-device",
            help="Write the Device of this program to TARGET, as a run does before the first"
            " patient, and a Provenance of it: this tries what cannot be tried otherwise.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check that everything that a run needs is in place.

    With --config and without SOURCE, the servers of scheduled runs are checked (sync.source and
    sync.target). Nothing is written to SOURCE or TARGET, unless --write-device is given.

    Each check prints one line: ok, not tried, warning or failed, and what to do. The exit code is 0
    if no check failed; otherwise it is the one with which a run would end for the first failed
    check.

    \b
    Example:
      fhircryo doctor https://fhir.hospital.example/r4 https://fhir.hospital.example/r4
      fhircryo doctor --config /etc/fhircryo/fhircryo.toml
    """
    from dataclasses import asdict

    from fhircryo.cli.run_options import RunOptions
    from fhircryo.errors import UsageError
    from fhircryo.runs.sync.sync_options import source_and_target
    from fhircryo.setup.doctor.all_checks import all_checks
    from fhircryo.setup.doctor.check import exit_code
    from fhircryo.sources.places import server_of

    run_config = RunOptions(protocol=protocol, mappings=mappings, settings_file=config).config()
    if source is None and config is not None:
        source, target = source_and_target(run_config)
    if write_device and (target is None or server_of(target) is None):
        raise UsageError("--write-device needs a FHIR server as TARGET")
    results = []
    for result in all_checks(source, target, run_config, write_device=write_device):
        results.append(result)
        if not as_json:
            say(f"{result.status:<9} {result.part:<7} {result.check:<37} {result.text}")
    if as_json:
        say_json([asdict(result) for result in results])
    raise typer.Exit(exit_code(results))
