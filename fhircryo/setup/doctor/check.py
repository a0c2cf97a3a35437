"""What the doctor finds: one line per check."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from fhircryo.errors import DONE, SourceError


class Status(StrEnum):
    """How a check ended; only a failure keeps a run from working."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """A check: of what (``part``: here, source, target), how it ended, what was seen, what to do.

    ``exit_code``: what a run would end with for it.
    """

    part: str
    check: str
    status: Status
    words: str
    advice: str = ""
    exit_code: int = DONE


def ok(part: str, check: str, words: str) -> Finding:
    """All well."""
    return Finding(part, check, Status.OK, words)


def warning(part: str, check: str, words: str, advice: str) -> Finding:
    """A run works, but not as well as it could."""
    return Finding(part, check, Status.WARNING, words, advice)


def failed(
    part: str, check: str, words: str, advice: str, exit_code: int = SourceError.exit_code
) -> Finding:
    """A run would not work."""
    return Finding(part, check, Status.FAILED, words, advice, exit_code)


def exit_code(findings: Iterable[Finding]) -> int:
    """For monitoring: that of the first failure; warnings are no failures."""
    return next((one.exit_code for one in findings if one.status is Status.FAILED), DONE)
