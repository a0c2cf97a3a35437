"""``fhircryo protocols``: the follow-up protocols."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _protocols() -> None:
    """Follow-up protocols: every number that endpoints are computed with."""


@app.command("list")
def list_protocols() -> None:
    """List the shipped protocols.

    \b
    Example:
      fhircryo protocols list
    """
    from fhircryo.mapping.load import load_protocol, protocol_files

    for file in protocol_files():
        protocol = load_protocol(file)
        typer.echo(f"{protocol.id:<16} {protocol.version:<6} {protocol.title}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A shipped protocol, or a file.")],
) -> None:
    """Print a protocol, checked, as the YAML that a changed one would start from.

    \b
    Example:
      fhircryo protocols show bomers-2020 > ours.yaml
    """
    from fhircryo.mapping.load import find_protocol, load_protocol

    load_protocol(name)
    typer.echo(find_protocol(name).read_text(encoding="utf-8"), nl=False)
