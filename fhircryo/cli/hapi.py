"""``fhircryo hapi``: a FHIR server for a site's own tests."""

import os
import signal
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.printing import say

if TYPE_CHECKING:
    from fhircryo.setup.hapi.hapi_server import HapiServer


class FhirVersion(StrEnum):
    """The versions of FHIR that the server can have."""

    R4 = "R4"
    R5 = "R5"


def hapi(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- COMMAND...]",
            help="Run this with HAPI_URL set, and stop; the exit code is the command's.",
            show_default=False,
        ),
    ] = None,
    load: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Load this folder of FHIR files.", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
    fhir: Annotated[FhirVersion, typer.Option(help="The version of FHIR.")] = FhirVersion.R4,
    max_page: Annotated[int, typer.Option(min=1, help="Most matches on a page.")] = 50,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            envvar="HAPI_CACHE",
            help="Where the server is kept. [default: the user's cache]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Start a HAPI FHIR server for tests, until Ctrl-C or the end of COMMAND.

    Needs Java 17 (a JDK) and Maven, which fetches the server the first time (400 MB). It listens on
    this machine only. Its data are in memory, and gone at the end.

    \b
    Example:
      fhircryo hapi --load sample --port 8090
      fhircryo hapi --load sample -- sh check-mappings.sh
    """
    from fhircryo.setup.hapi.hapi_server import HapiServer
    from fhircryo.setup.hapi.loading import load as load_folder

    if cache is not None:
        os.environ["HAPI_CACHE"] = str(cache)
    say("starting HAPI (the first time it is fetched: 400 MB) ...", err=True)
    default_page = min(20, max_page)
    with HapiServer.start(
        port=port, max_page=max_page, default_page=default_page, fhir=str(fhir)
    ) as server:
        if load is not None:
            loaded = load_folder(server.url, load)
            say(f"{loaded.total} resources loaded in {loaded.seconds:.0f} s", err=True)
        say(server.url)
        code = _run(command, server) if command else _wait(server)
    server.log.unlink(missing_ok=True)
    raise typer.Exit(code)


def _wait(server: "HapiServer") -> int:
    """Wait for Ctrl-C, which is the usual end."""
    say(f"its log: {server.log}; Ctrl-C ends it", err=True)
    with suppress(KeyboardInterrupt):
        signal.pause()
    return 0


def _run(command: list[str], server: "HapiServer") -> int:
    """Run a command beside the server; returns its exit code."""
    from fhircryo.setup.hapi.beside import run_beside

    return run_beside(command, server.url)
