"""The ``fhircryo`` command."""

import sys
from typing import Annotated, NoReturn

import typer

from fhircryo import __version__
from fhircryo.cli import auth, config, mappings, protocols, state, terminology
from fhircryo.cli.cohort import cohort
from fhircryo.cli.compute import compute
from fhircryo.cli.demo import demo
from fhircryo.cli.doctor import doctor
from fhircryo.cli.explain import explain
from fhircryo.cli.export import export
from fhircryo.cli.forget import forget
from fhircryo.cli.hapi import hapi
from fhircryo.cli.pool import pool
from fhircryo.cli.printing import Commands, say, say_error, say_traceback
from fhircryo.cli.push import push
from fhircryo.cli.reidentify import reidentify
from fhircryo.cli.review import review
from fhircryo.cli.sync import sync
from fhircryo.errors import BUG, FhircryoError, UsageError
from fhircryo.interrupts import asked_to_stop

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
app.command()(pool)
app.command()(export)
app.command()(sync)
app.command()(explain)
app.command()(reidentify)
app.command()(review)
app.command()(forget)
app.command()(doctor)
app.command()(demo)
app.command()(hapi)
app.add_typer(auth.app, name="auth")
app.add_typer(mappings.app, name="mappings")
app.add_typer(protocols.app, name="protocols")
app.add_typer(terminology.app, name="terminology")
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
    something was unreadable; 5 the target rejected something; 6 another run holds the lock;
    7 stopped before it was done.
    """


def run() -> None:
    """Run the command line; print an error that the user can correct as one line, and exit."""
    try:
        try:
            app()
        finally:
            if sys.stdout is not None:  # it is None if the command was started without one
                sys.stdout.flush()
    except FhircryoError as error:
        say_error(error)
        sys.exit(error.exit_code)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            # Typer takes it for a stdout whose reader has gone, but it is another pipe or a socket.
            _end_by_bug(stop.__context__)
        if isinstance(stop.__context__, typer.Abort) and asked_to_stop() is None:
            say_error(UsageError("no answer to the question; to confirm without it, add --yes"))
            sys.exit(UsageError.exit_code)
        raise
    except PermissionError as error:
        if not error.filename:
            _end_by_bug(error)
        words = "this user has no right to it, or to a folder above it"
        say_error(UsageError(f"{error.filename}: {error.strerror}: {words}"))
        sys.exit(UsageError.exit_code)
    except Exception as error:
        _end_by_bug(error)


def _end_by_bug(error: Exception) -> NoReturn:
    """Print the traceback that Python would print, with secrets masked."""
    if asked_to_stop() is None:  # else it may be a consequence of the signal
        say_traceback(error)
    sys.exit(BUG)
