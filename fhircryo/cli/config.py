"""``fhircryo config``: the settings."""

from pathlib import Path
from typing import Annotated

import typer

from fhircryo.cli.options import Config

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _config() -> None:
    """Settings: fhircryo.toml, then FHIRCRYO_... in the environment, then the command line."""


@app.command()
def show(config: Config = None) -> None:
    """Print the settings in force and where each comes from; what may be secret is masked.

    \b
    Example:
      fhircryo config show --config /etc/fhircryo.toml
    """
    from fhircryo.settings import settings_in_force

    for setting in settings_in_force(config):
        typer.echo(f"{setting.name:<34} {setting.value:<40} {setting.origin}")


@app.command()
def init(
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="Where to write it. [default: fhircryo.toml]")
    ] = Path("fhircryo.toml"),
) -> None:
    """Write a settings file with every setting, explained and commented out.

    \b
    Example:
      fhircryo config init
    """
    from fhircryo.errors import UsageError
    from fhircryo.settings import commented_settings

    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(commented_settings())
    except FileExistsError:
        raise UsageError(f"{file}: is there already; name another file") from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from None
    typer.echo(f"{file}: written; take the # from what you set")
