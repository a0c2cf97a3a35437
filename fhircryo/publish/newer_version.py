"""Whether a newer version of this program wrote what a target or a state holds."""

import re

from fhircryo import __version__

#: A release; what follows it (``rc1``, ``.dev0``) does not decide.
_RELEASE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}")


def is_newer(version: str) -> bool:
    """Whether a version of this program is newer than the one that runs."""
    return _release(version) > _release(__version__)


def downgrade_refusal(version: str, what: str) -> str:
    """The words that refuse to go on with ``what`` a newer version wrote."""
    return (
        f"{what} by fhircryo {version}, and this is {__version__}, whose definitions are older; use"
        " that version, or go back on purpose with --allow-downgrade"
    )


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a release; a text that is none is older than all."""
    found = _RELEASE.match(version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    return (*numbers, *(0 for _ in range(6 - len(numbers))))
