"""What an endpoint's computation gives: a value or why there is none, and what it stands on."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

import msgspec

from fhircryo.calendar import Span
from fhircryo.endpoints.catalogue import Endpoint
from fhircryo.record.items import Reason

__all__ = ["Absent", "Component", "Evidence", "Part", "Reason", "Result", "Role", "absent"]

Value = bool | int | str | Decimal | Fraction


class Absent(StrEnum):
    """The kinds of absence, named as FHIR's data-absent-reason codes."""

    UNKNOWN = "unknown"
    TEMP_UNKNOWN = "temp-unknown"
    NOT_APPLICABLE = "not-applicable"


class Role(StrEnum):
    """What a resource is to a result."""

    INDEX = "index"
    INDEX_TREATMENT = "index-treatment"
    NADIR = "nadir"
    FAILING_PSA = "failing-psa"
    CLEAR_PSA = "clear-psa"
    LAST_PSA = "last-psa"
    EVENT = "event"
    VAGUE_EVENT = "vague-event"
    BASELINE_EVENT = "baseline-event"
    DEATH = "death"
    COMPLICATION = "complication"
    SCORE = "score"
    BASELINE_SCORE = "baseline-score"


class Part(StrEnum):
    """The components of a published endpoint: what its value stands on."""

    NADIR = "nadir"
    THRESHOLD = "threshold"
    FAILING_PSA = "failing-psa"
    EVENT = "event"
    TIME_POINT = "time-point"
    BASELINE_SCORE = "baseline-score"
    UNGRADED = "ungraded"
    SALVAGE_THERAPY = "salvage-therapy"


class Evidence(msgspec.Struct, gc=False, frozen=True):
    """A resource that a result stands on: its role, what it says, and day (None: not known)."""

    role: Role
    ref: str
    value: int | str | Decimal | Fraction = ""
    day: date | None = None


class Component(msgspec.Struct, gc=False):
    """A number (in the unit that its part implies), a yes or no, a code, or a day or days."""

    part: Part
    value: Value | Span


class Result(msgspec.Struct, gc=False):
    """One endpoint of one patient.

    ``value``: a bool for yes or no, a grade's text, a number (days, ng/mL, a count, an exact
    score). Without a value ``absent`` and ``reason`` say why. ``start``, ``end``: the day that it
    is about (the same twice), or the period (``end`` None: open). ``final``: nothing later can
    change it by rule.
    """

    endpoint: Endpoint
    start: date
    end: date | None
    final: bool
    value: Value | None = None
    absent: Absent | None = None
    reason: Reason | None = None
    period: bool = False
    instrument: str = ""
    time_point: str = ""
    components: tuple[Component, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def code(self) -> str:
        """The published code: the endpoint's key, with the instrument where there is one."""
        key = self.endpoint.key
        return f"{key}-{self.instrument}" if self.instrument else key


def absent(
    endpoint: Endpoint,
    period: tuple[date, date | None],
    kind: Absent,
    reason: Reason,
    evidence: Iterable[Evidence] = (),
    *,
    final: bool = False,
) -> Result:
    """A result without a value, and why; ``period``: the days that it is about (None: open)."""
    return Result(
        endpoint,
        period[0],
        period[1],
        final=final,
        absent=kind,
        reason=reason,
        period=True,
        evidence=tuple(evidence),
    )
