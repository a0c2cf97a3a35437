"""The result of one check by the doctor."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from fhircryo.errors import DONE, SourceError

#: The HTTP statuses by which a server refuses a request for want of a right.
FORBIDDEN = frozenset({401, 403})
#: The difference between two clocks, in seconds, above which the doctor warns.
CLOCK_TOLERANCE = 60


class Status(StrEnum):
    """How a check ended; only a failure prevents a run from working.

    ``OK``: it was tried, and the answer was the expected one. ``NOT_TRIED``: it could not be tried,
    or the answer says nothing about it.
    """

    OK = "ok"
    NOT_TRIED = "not tried"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    ``part``: what was checked: ``here`` (this machine), ``source``, ``target`` or ``sign-in``;
    ``words``: what was found; ``advice``: what to do; ``exit_code``: the code with which a run
    would end for this reason.
    """

    part: str
    check: str
    status: Status
    words: str
    advice: str = ""
    exit_code: int = DONE

    @property
    def text(self) -> str:
        """What was found, and what to do."""
        return f"{self.words}; {self.advice}" if self.advice else self.words


def ok(part: str, check: str, words: str) -> CheckResult:
    """Return the result of a check that found nothing wrong."""
    return CheckResult(part, check, Status.OK, words)


def not_tried(part: str, check: str, words: str, advice: str = "") -> CheckResult:
    """Return the result of a check that could not be made; ``words``: why, or what is stated."""
    return CheckResult(part, check, Status.NOT_TRIED, words, advice)


def warning(part: str, check: str, words: str, advice: str) -> CheckResult:
    """Return the result of a check that found a flaw with which a run still works."""
    return CheckResult(part, check, Status.WARNING, words, advice)


def failed(
    part: str, check: str, words: str, advice: str, exit_code: int = SourceError.exit_code
) -> CheckResult:
    """Return the result of a check that found why a run would not work."""
    return CheckResult(part, check, Status.FAILED, words, advice, exit_code)


def clock(part: str, ahead: float, advice: str) -> CheckResult:
    """Compare the clocks; ``ahead``: the seconds by which this machine is ahead of the server."""
    words = f"{ahead:+.0f} s"
    if abs(ahead) > CLOCK_TOLERANCE:
        words += ": the difference of this machine's clock to the server's"
        return warning(part, "clock", words, advice)
    return ok(part, "clock", words)


def exit_code(results: Iterable[CheckResult]) -> int:
    """Return the exit code of the first failed check; 0 if none failed."""
    return next((one.exit_code for one in results if one.status is Status.FAILED), DONE)
