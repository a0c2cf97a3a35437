"""The ``fhircryo`` command."""

import os
import sys
from typing import Annotated

import typer

from fhircryo import __version__
from fhircryo.cli import auth, config, mappings, protocols, state
from fhircryo.cli.cohort import cohort
from fhircryo.cli.compute import compute
from fhircryo.cli.demo import demo
from fhircryo.cli.doctor import doctor
from fhircryo.cli.explain import explain
from fhircryo.cli.export import export
from fhircryo.cli.forget import forget
from fhircryo.cli.printing import Commands, say, say_error, say_traceback
from fhircryo.cli.push import push
from fhircryo.cli.sync import sync
from fhircryo.errors import BUG, DONE, FhircryoError

# The help is plain text, because rich would double the time that --help takes.
app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(compute)
app.command()(push)
app.command()(cohort)
app.command()(export)
app.command()(sync)
app.command()(explain)
app.command()(forget)
app.command()(doctor)
app.command()(demo)
app.add_typer(auth.app, name="auth")
app.add_typer(mappings.app, name="mappings")
app.add_typer(protocols.app, name="protocols")
app.add_typer(state.app, name="state")
app.add_typer(config.app, name="config")


def _print_version(requested: bool) -> None:
    if requested:
        say(f"fhircryo {__version__}")
        raise typer.Exit


@app.callback()
def _fhircryo(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Compute treatment endpoints from a hospital's FHIR records.

    \b
    Example:
      fhircryo demo

    Exit codes: 0 done; 1 a bug; 2 usage or settings; 3 source unreachable or refused; 4 done, but
    something was unreadable; 5 the target rejected something; 6 another run holds the lock.
    """


def run() -> None:
    """Run the command line; print an error that the user can correct as one line, and exit."""
    try:
        app()
    except FhircryoError as error:
        say_error(error)
        sys.exit(error.exit_code)
    except SystemExit as stop:
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        # The program that reads our output has ended, as `head` does in `| head`; no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(DONE)
    except Exception as error:
        say_traceback(error)
        sys.exit(BUG)
