"""A progress bar on stderr if it is a terminal; nothing otherwise."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Stage = Callable[[str], None]
Advance = Callable[[int, int], None]


@contextmanager
def progress() -> Iterator[tuple[Stage | None, Advance | None]]:
    """Show a progress bar, and give the functions that update it; None where there is no bar.

    The first takes the name of the current stage; the second how much of it is done, and of how
    much.
    """
    if not sys.stderr.isatty():
        yield None, None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from fhircryo.logs import line_of

    columns = (TextColumn("{task.description:<10}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def stage(words: str) -> None:
            bar.update(task, description=line_of(words), total=None, completed=0)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield stage, advance
