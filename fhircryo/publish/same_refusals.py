"""Recognises that a target refuses every patient in the same way, so that a run ends early."""

from fhircryo.errors import TargetError
from fhircryo.fhir.client import HttpError
from fhircryo.publish.refused_write import by_content

_LIMIT = 3
#: For refusals that the content may cause, in the same words: patients who are wrong in the same
#: way must not keep the others from being written.
_LIMIT_BY_CONTENT = 10


class SameRefusals:
    """Counts the patients in a row who were refused alike while nothing was written."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._last: tuple[int, str] | None = None
        self._count = 0
        self._landed = False

    def landed(self) -> None:
        """Note that a patient was written."""
        self._landed = True

    def refused(self, refusal: HttpError) -> None:
        """Note that a patient was refused.

        Raises:
            TargetError: this was the last of too many.
        """
        content = by_content(refusal)
        kind = (refusal.status, refusal.outcome if content else "")
        self._count = self._count + 1 if kind == self._last else 1
        self._last = kind
        if not self._landed and self._count >= (_LIMIT_BY_CONTENT if content else _LIMIT):
            raise TargetError(
                f"{self._base}: the server refuses every patient in the same way, so the run was"
                f" stopped after {self._count} patients and none was written; the last error:"
                f" {refusal}"
            )
