"""``fhircryo config``: the settings."""

from pathlib import Path
from typing import Annotated

import typer

from fhircryo.cli.options import Config
from fhircryo.cli.printing import say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _config() -> None:
    """Show the settings in force, or write a settings file."""


@app.command()
def show(config: Config = None) -> None:
    """Print the settings in force and where each comes from, with secrets masked.

    A setting comes from the settings file, then from a variable FHIRCRYO_... in the environment,
    then from the command line; the later one counts.

    \b
    Example:
      fhircryo config show --config /etc/fhircryo/fhircryo.toml
    """
    from fhircryo.settings import settings_in_force

    for setting in settings_in_force(config):
        say(f"{setting.name:<34} {setting.value:<40} {setting.origin}")


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="File to write.")] = Path(
        "fhircryo.toml"
    ),
) -> None:
    """Write a settings file in which every setting is explained and commented out.

    \b
    Example:
      fhircryo config init
    """
    import os

    from fhircryo.errors import UsageError
    from fhircryo.settings import commented_settings

    try:
        # Others may read the file and nobody else may write it, whatever the umask: a settings file
        # that others can write is refused.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            written.write(commented_settings())
    except FileExistsError:
        raise UsageError(f"{file}: exists already; name another file") from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from None
    say(f"{file}: written; remove the # in front of each setting that you want to change")
