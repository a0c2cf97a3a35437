"""``fhircryo auth``: keys for signing in, and a test of signing in."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fhircryo.cli.options import Config, ServerSource
from fhircryo.cli.printing import say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _auth() -> None:
    """Create keys for FHIR servers, and test signing in to a server."""


@app.command()
def keygen(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="File to write the private key to, with mode 0600.",
            show_default=False,
        ),
    ],
    algorithm: Annotated[
        Literal["RS384", "ES384"],
        typer.Option(help="Signature algorithm; every SMART server supports one of the two."),
    ] = "RS384",
    jwks: Annotated[
        Path | None,
        typer.Option(
            metavar="JWKS",
            help="File to add the public key to; its other keys are kept."
            " [default: FILE.jwks.json]",
        ),
    ] = None,
) -> None:
    """Create a key for signing in: a private key, and a JWKS to register with the server.

    A key file is never overwritten. To change keys: create a new key with the same JWKS, have the
    JWKS registered, set key_file to the new key, and remove the old key from the JWKS.

    \b
    Example:
      fhircryo auth keygen /etc/fhircryo/key.pem
    """
    from fhircryo.fhir.auth.key_files import write_key_pair

    public = jwks or file.with_name(f"{file.name}.jwks.json")
    key = write_key_pair(file, public, algorithm)
    say(f"private key  {file}   keep it secret: setting key_file")
    say(f"public key   {public}   give this to the server's team")
    say(f"algorithm    {key.algorithm} ({key.size})")
    say(f"kid          {key.kid}")


@app.command("test")
def sign_in(
    source: ServerSource,
    target: Annotated[
        bool,
        typer.Option("--target", help="Sign in with the settings of the target, and to write."),
    ] = False,
    config: Config = None,
) -> None:
    """Sign in to a server and report each step, with secrets masked.

    The command reads only a count of resources, and writes nothing. The exit code is 0 if the
    server grants access, and 3 otherwise.

    \b
    Example:
      fhircryo auth test https://fhir.hospital.example/r4
    """
    from fhircryo.errors import UsageError
    from fhircryo.fhir.connect import READING, WRITING
    from fhircryo.logs import set_up_logs
    from fhircryo.settings import load_settings
    from fhircryo.setup.doctor.check import exit_code
    from fhircryo.setup.doctor.check_sign_in import sign_in_checks
    from fhircryo.sources.places import server_of

    if server_of(source) is None:
        raise UsageError(f"{source}: SOURCE must be the base URL of a FHIR server")
    settings = load_settings(config)
    set_up_logs(settings.log_level, settings.log_format)
    server = (settings.target or settings.source) if target else settings.source
    results = []
    for result in sign_in_checks(source, server, WRITING if target else READING):
        results.append(result)
        say(f"{result.status:<9} {result.check:<17} {result.text}")
    raise typer.Exit(exit_code(results))
