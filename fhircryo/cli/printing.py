"""Everything that a command prints goes through here, so that outside text is always escaped.

Names of files, ids, codes and the words of servers stand in nearly every line, and they may contain
control characters (see ``logs``). No other module of the command line prints by itself;
``tests/unit/test_one_printer.py`` checks that.
"""

import sys
from typing import Any

import typer
import typer.core

from fhircryo.errors import FhircryoError
from fhircryo.logs import indented, json_text, line_of, masked_values, text_of

#: The base of typer's errors about arguments, which is not among the names that typer exports.
_ArgumentError: Any = typer.BadParameter.__base__


def say(*lines: str, err: bool = False) -> None:
    """Print lines on stdout, or on stderr (``err``)."""
    _print(text_of(lines), err=err)


def say_json(content: Any) -> None:
    """Print a value as JSON on stdout."""
    _print(json_text(masked_values(content), indent=2), err=False)


def say_error(error: FhircryoError) -> None:
    """Print an error that the user can mend on stderr; further lines of it are indented."""
    _print(indented(f"fhircryo: {error}"), err=True)


def say_traceback(error: BaseException) -> None:
    """Print the traceback of an exception, which is a bug, on stderr."""
    import traceback

    _print(indented("".join(traceback.format_exception(error)).removesuffix("\n")), err=True)


def confirmed(question: str, *, err: bool = False) -> bool:
    """Ask a question that is answered with yes or no, on stdout or on stderr (``err``)."""
    return typer.confirm(line_of(question), err=err)


class Commands(typer.core.TyperGroup):
    """A group of commands whose errors about arguments quote these escaped."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parse the arguments of the group."""
        try:
            return super().make_context(*arguments, **options)
        except _ArgumentError as error:
            error.message = line_of(error.message)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Parse the arguments of a command, and run it."""
        try:
            return super().invoke(ctx)
        except _ArgumentError as error:
            error.message = line_of(error.message)
            raise


def _print(text: str, *, err: bool) -> None:
    """Print escaped text; what the encoding of the stream lacks is an escape sequence too."""
    stream = sys.stderr if err else sys.stdout
    if stream is None:  # the command was started without one
        return
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
