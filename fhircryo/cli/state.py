"""``fhircryo state``: the state that scheduled runs keep between them."""

from pathlib import Path
from typing import NamedTuple, NoReturn

import typer

from fhircryo.cli.options import Config, Yes
from fhircryo.cli.printing import confirmed, say
from fhircryo.errors import DONE, LockedError, UsageError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_NO_STATE = "nothing is remembered, so the next run is a full one"


@app.callback()
def _state() -> None:
    """Inspect or reset the state of scheduled runs: ids and versions, no clinical values."""


@app.command()
def show(config: Config = None) -> None:
    """Show the state: counts, watermarks, and patients whose endpoints are still to be written.

    \b
    Example:
      fhircryo state show --config /etc/fhircryo/fhircryo.toml
    """
    from fhircryo.runs.sync.state_database import DamagedStateError
    from fhircryo.runs.sync.state_file import open_state

    files = _state_files(config)
    say(f"state        {files.state}")
    say(f"target       {files.target}")
    if not _is_there(files.state):
        say(_NO_STATE)
        return
    try:
        with open_state(files.state) as state:
            say(f"last full    {state.fact('last-full') or 'none'}")
            for words, number in state.counts().items():
                say(f"{words:<24} {number:>8}")
            for kind, stamp in sorted(state.watermarks().items()):
                say(f"read up to   {kind:<26} {stamp}")
            for waiting in state.pending():
                say(f"waiting      Patient/{waiting.patient} since {waiting.since}: {waiting.why}")
    except DamagedStateError:
        _end_damaged(files.state)


@app.command()
def check(config: Config = None) -> None:
    """Check that the state can be read. If it is damaged, the next run is a full one.

    \b
    Example:
      fhircryo state check --config /etc/fhircryo/fhircryo.toml
    """
    from fhircryo.runs.sync.state_database import DamagedStateError
    from fhircryo.runs.sync.state_file import open_state

    path = _state_files(config).state
    if not _is_there(path):
        say(_NO_STATE)
        return
    try:
        with open_state(path) as state:
            state.check()
    except DamagedStateError:
        _end_damaged(path)
    say(f"{path}: sound")


@app.command()
def reset(
    config: Config = None,
    yes: Yes = False,
) -> None:
    """Delete the state, so that the next run is a full one. No endpoint is changed.

    \b
    Example:
      fhircryo state reset --yes --config /etc/fhircryo/fhircryo.toml
    """
    from fhircryo.publish.target_lock import target_lock
    from fhircryo.runs.sync.state_file import remove

    files = _state_files(config)
    if not yes and not confirmed(f"Remove {files.state}?"):
        raise typer.Exit(DONE)
    try:
        with target_lock(files.target, files.locks):
            remove(files.state)
    except LockedError as error:
        raise LockedError(f"{error}; then reset the state") from None
    say(f"{files.state}: removed")


class _StateFiles(NamedTuple):
    """The state's file, the target that it belongs to, and the folder with the target's lock."""

    state: Path
    target: str
    locks: Path


def _state_files(config: Path | None) -> _StateFiles:
    from fhircryo.cli.run_options import scheduled_settings
    from fhircryo.publish.target_server import state_folder
    from fhircryo.runs.sync.state_file import state_path
    from fhircryo.runs.sync.sync_options import source_and_target

    run_config = scheduled_settings(config)
    source, target = source_and_target(run_config)
    return _StateFiles(
        state_path(run_config, source, target), target, state_folder(run_config.settings)
    )


def _is_there(path: Path) -> bool:
    """Whether there is anything of this name, be it a symbolic link to nowhere."""
    return path.exists() or path.is_symlink()


def _end_damaged(path: Path) -> NoReturn:
    say(f"{path}: damaged; the next run sets the file aside and is a full one")
    raise typer.Exit(UsageError.exit_code)
