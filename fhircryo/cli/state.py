"""``fhircryo state``: what scheduled runs remember."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from fhircryo.cli.options import Config
from fhircryo.errors import DONE, LockedError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _state() -> None:
    """What scheduled runs remember: ids and versions, no clinical value."""


def _place(config: Path | None) -> tuple[Path, str, Path]:
    """The state file, its target, and the folder of locks."""
    from fhircryo.cli.options import scheduled_job
    from fhircryo.publish.target_server import state_folder
    from fhircryo.runs.sync.options import source_and_target
    from fhircryo.runs.sync.state_file import state_path

    job = scheduled_job(config)
    source, target = source_and_target(job)
    return state_path(job, source, target), target, state_folder(job.settings)


def _damaged(path: Path) -> NoReturn:
    typer.echo(f"{path}: damaged; the next run puts it aside and is a full one")
    raise typer.Exit(1)


@app.command()
def show(config: Config = None) -> None:
    """Show what is remembered: counts, watermarks, and patients who could not be written.

    \b
    Example:
      fhircryo state show --config /etc/fhircryo.toml
    """
    from fhircryo.runs.sync.state_database import DamagedStateError
    from fhircryo.runs.sync.state_file import open_state

    path, target, _ = _place(config)
    typer.echo(f"state        {path}")
    typer.echo(f"target       {target}")
    if not path.exists():
        typer.echo("nothing is remembered: the next run is a full one")
        return
    try:
        with open_state(path) as state:
            typer.echo(f"last full    {state.fact('last-full') or 'none'}")
            for words, number in state.counts().items():
                typer.echo(f"{words:<24} {number:>8}")
            for kind, stamp in sorted(state.watermarks().items()):
                typer.echo(f"read up to   {kind:<26} {stamp}")
            for one in state.pending():
                typer.echo(f"waiting      Patient/{one.patient} since {one.since}: {one.why}")
    except DamagedStateError:
        _damaged(path)


@app.command()
def check(config: Config = None) -> None:
    """Check that the state can be read; a damaged one costs the next run a full one.

    \b
    Example:
      fhircryo state check
    """
    from fhircryo.runs.sync.state_database import DamagedStateError
    from fhircryo.runs.sync.state_file import open_state

    path, _, _ = _place(config)
    if not path.exists():
        typer.echo("nothing is remembered: the next run is a full one")
        return
    try:
        with open_state(path) as state:
            state.check()
    except DamagedStateError:
        _damaged(path)
    typer.echo(f"{path}: sound")


@app.command()
def reset(
    config: Config = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget all that is remembered: the next run is a full one. No endpoint is touched.

    \b
    Example:
      fhircryo state reset --yes
    """
    from fhircryo.publish.target_lock import target_lock
    from fhircryo.runs.sync.state_file import remove

    path, target, folder = _place(config)
    if not yes and not typer.confirm(f"Remove {path}?"):
        raise typer.Exit(DONE)
    try:
        with target_lock(target, folder):
            remove(path)
    except LockedError as error:
        raise LockedError(f"{error}; then reset") from None
    typer.echo(f"{path}: removed")
