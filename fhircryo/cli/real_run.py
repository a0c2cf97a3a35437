"""What a dry run tells of the real run: whether it would be refused, and with which exit code."""

from typing import TYPE_CHECKING, NamedTuple

from fhircryo.errors import DONE, REJECTED, UNREADABLE

if TYPE_CHECKING:
    from fhircryo.publish.target_server import PushResult


class InputRead(NamedTuple):
    """How many lines or files of the source were unreadable, and whether that is accepted."""

    unreadable: int
    accepted: bool


class RealRun(NamedTuple):
    """How the real run would end, as far as a dry run can know."""

    exit_code: int
    words: str


def real_run(dry: "PushResult", input_read: InputRead) -> RealRun:
    """How the real run would end.

    Whether the server takes what is written is not tried, because that needs a write.
    """
    if input_read.unreadable and not input_read.accepted:
        why = (
            f"{input_read.unreadable} lines or files of the source could not be read; correct the"
            " source, or use --accept-unreadable"
        )
        return _refused(UNREADABLE, why)
    if dry.refusal:
        return _refused(REJECTED, dry.refusal)
    untried = "unless the server refuses it, which a dry run does not try"
    if dry.rejected:
        words = f"without the {len(dry.rejected)} patients who are named above, {untried}"
        return RealRun(REJECTED, _ending(REJECTED, f"write this {words}"))
    code = UNREADABLE if input_read.unreadable else DONE
    return RealRun(code, _ending(code, f"write this, {untried}"))


def _refused(code: int, why: str) -> RealRun:
    return RealRun(code, _ending(code, f"be REFUSED and write nothing: {why}"))


def _ending(code: int, words: str) -> str:
    return f"The real run would end with exit code {code}. It would {words}."
