"""``fhircryo mappings test``: a site's own cases, computed with its overlays."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import Mappings, Protocol
from fhircryo.cli.printing import say
from fhircryo.errors import UNREADABLE, UsageError

if TYPE_CHECKING:
    from fhircryo.setup.expectations.run_cases import CaseRunner, CheckedCase

#: So many of the resources that are not used are shown of a case.
_MOST_SHOWN = 20


def check_cases(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files of cases.", show_default=False)
    ],
    mappings: Mappings = None,
    protocol: Protocol = None,
    case: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only this case; repeatable.", show_default=False),
    ] = None,
) -> None:
    """Check that patients give the endpoints that you expect with your overlays.

    A failed case ends the command with exit code 2.

    \b
    Example:
      fhircryo mappings test cases.yaml --mappings site.yaml
    """
    from fhircryo.setup.expectations.run_cases import checked_cases

    checked = []
    for file in files:
        for one in checked_cases(_runner(file, mappings, protocol), file, case or ()):
            checked.append(one)
            if one.mismatches:
                say(*_lines(one))
    if case and (unknown := set(case) - {one.case.id for one in checked}):
        raise UsageError(f"--case {', '.join(sorted(unknown))}: no such case")
    failed = sum(bool(one.mismatches) for one in checked)
    if failed:
        raise UsageError(
            f"{failed} of {len(checked)} cases failed; correct the overlay, or the case where the"
            " expectation is wrong"
        )
    say(f"{len(checked)} cases: all as expected")
    unreadable = sum(one.unreadable for one in checked)
    if unreadable:
        say(f"unreadable resources in the sources of cases: {unreadable}", err=True)
        raise typer.Exit(UNREADABLE)


def _runner(file: Path, mappings: list[Path] | None, protocol: str | None) -> "CaseRunner":
    from fhircryo.settings import load_settings
    from fhircryo.setup.expectations.run_cases import runner_of

    overlays = tuple(mappings) if mappings else None
    return runner_of(load_settings(mappings=overlays, protocol=protocol), file.parent)


def _lines(checked: "CheckedCase") -> Iterator[str]:
    """A failed case: what was expected, what was found, and what was not used."""
    yield f"FAILED {checked.case.id}: {checked.case.say} ({checked.place})"
    for one in checked.mismatches:
        yield f"  {one.name}"
        yield f"    expected  {one.expected}"
        yield f"    found     {one.found}"
    if checked.not_used:
        yield "  not used"
    for words in checked.not_used[:_MOST_SHOWN]:
        yield f"    {words}"
    more = len(checked.not_used) - _MOST_SHOWN
    if more > 0:
        yield f"    and {more} more"
