"""``fhircryo protocols``: the follow-up protocols."""

from typing import Annotated

import typer

from fhircryo.cli.printing import say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _protocols() -> None:
    """Show the follow-up protocols, which define the numbers used to compute endpoints."""


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
        say(f"{protocol.id:<16} {protocol.version:<6} {protocol.title}")


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The name of a shipped protocol, or a protocol file."),
    ],
    with_published: Annotated[
        bool,
        typer.Option("--with-published", help="Keep the source and the published figures."),
    ] = False,
) -> None:
    """Check a protocol and print it as YAML, for example to start a protocol of your own.

    Give the copy its own id, and say in your own words where its numbers come from. The source and
    the published figures of a shipped protocol are left out, because they belong to its numbers.

    \b
    Example:
      fhircryo protocols show bomers-2020 > ours.yaml
      fhircryo protocols show bomers-2020 --with-published
    """
    from fhircryo.mapping.load import find_protocol, load_protocol, protocol_files
    from fhircryo.mapping.protocol_copy import text_for_copy

    protocol = load_protocol(name)
    path = find_protocol(name)
    text = path.read_text(encoding="utf-8")
    if path in protocol_files() and not with_published:
        text = text_for_copy(text, protocol)
    say(*text.removesuffix("\n").split("\n"))
