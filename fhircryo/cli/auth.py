"""``fhircryo auth``: keys, and whether a server lets us in."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fhircryo.cli.options import Config

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _auth() -> None:
    """Signing in to FHIR servers: keys, and whether a server lets us in."""


@app.command()
def keygen(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Where the private key is written, of mode 0600.",
            show_default=False,
        ),
    ],
    algorithm: Annotated[
        Literal["RS384", "ES384"],
        typer.Option(help="What the key signs by; every SMART server knows one of the two."),
    ] = "RS384",
    jwks: Annotated[
        Path | None,
        typer.Option(
            metavar="JWKS",
            help="Where the public key goes; keys that are there stay. [default: FILE.jwks.json]",
        ),
    ] = None,
) -> None:
    """Make a key to sign in with: the private key for us alone, the JWKS to register.

    A key file is never overwritten. To change keys: make a new one into the same JWKS, have that
    registered, then set key_file to the new one, and take the old one out of the JWKS.

    \b
    Example:
      fhircryo auth keygen /etc/fhircryo/key.pem
    """
    from fhircryo.fhir.auth.key_files import write_key_pair

    public = jwks or file.with_name(f"{file.name}.jwks.json")
    key = write_key_pair(file, public, algorithm)
    typer.echo(f"private key  {file}   keep it here: setting key_file")
    typer.echo(f"public key   {public}   give this to the server's team")
    typer.echo(f"algorithm    {key.algorithm} ({key.size})")
    typer.echo(f"kid          {key.kid}")


@app.command("test")
def sign_in(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="The base URL of a FHIR server.", show_default=False),
    ],
    target: Annotated[
        bool, typer.Option("--target", help="Sign in as to TARGET: by its settings, to write.")
    ] = False,
    config: Config = None,
) -> None:
    """Sign in to a server, and tell step by step what happens; secrets are masked.

    Nothing is read but a count, and nothing is written. Exit code 0 where we are let in, else 3.

    \b
    Example:
      fhircryo auth test https://fhir.hospital.example/r4
    """
    from fhircryo.errors import UsageError
    from fhircryo.fhir.connect import READING, WRITING
    from fhircryo.logs import set_up_logs
    from fhircryo.settings import load_settings
    from fhircryo.setup.doctor.check import exit_code
    from fhircryo.setup.doctor.check_sign_in import look_at_sign_in
    from fhircryo.sources.places import server_of

    if server_of(source) is None:
        raise UsageError(f"{source}: SOURCE is the base URL of a FHIR server")
    settings = load_settings(config)
    set_up_logs(settings.log_level, settings.log_format)
    server = (settings.target or settings.source) if target else settings.source
    findings = []
    for finding in look_at_sign_in(source, server, WRITING if target else READING):
        findings.append(finding)
        advice = f"; {finding.advice}" if finding.advice else ""
        typer.echo(f"{finding.status:<8} {finding.check:<17} {finding.words}{advice}")
    raise typer.Exit(exit_code(findings))
