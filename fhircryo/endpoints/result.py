"""The result of an endpoint: its value, or the reason why there is none, and its evidence."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

import msgspec

from fhircryo.calendar import Span
from fhircryo.endpoints.catalogue import Endpoint
from fhircryo.record.items import Reason

__all__ = [
    "PART_FORMS",
    "PART_UNITS",
    "Absent",
    "ComponentKey",
    "Evidence",
    "PartForm",
    "Reason",
    "Result",
    "ResultComponent",
    "Role",
    "absent",
]

Value = bool | int | str | Decimal | Fraction


class Absent(StrEnum):
    """The kinds of absence, named as FHIR's data-absent-reason codes."""

    UNKNOWN = "unknown"
    TEMP_UNKNOWN = "temp-unknown"
    NOT_APPLICABLE = "not-applicable"


class Role(StrEnum):
    """The role that a resource plays as evidence of a result."""

    INDEX = "index"
    INDEX_TREATMENT = "index-treatment"
    NADIR = "nadir"
    FAILING_PSA = "failing-psa"
    CLEAR_PSA = "clear-psa"
    INCONCLUSIVE_PSA = "inconclusive-psa"
    BASELINE_PSA = "baseline-psa"
    LAST_CONTACT = "last-contact"
    EVENT = "event"
    VAGUE_EVENT = "vague-event"
    BASELINE_EVENT = "baseline-event"
    DEATH = "death"
    CAUSE_OF_DEATH = "cause-of-death"
    COMPLICATION = "complication"
    SCORE = "score"
    BASELINE_SCORE = "baseline-score"


class ComponentKey(StrEnum):
    """The components of a published endpoint: the facts that its value rests on."""

    NADIR = "nadir"
    THRESHOLD = "threshold"
    FAILING_PSA = "failing-psa"
    EVENT = "event"
    TIME_POINT = "time-point"
    BASELINE_SCORE = "baseline-score"
    UNGRADED = "ungraded"
    SALVAGE_THERAPY = "salvage-therapy"
    PSA_RESPONSE = "psa-response"
    DAYS_TO_NADIR = "days-to-nadir"
    HORMONE_THERAPY_AT_INDEX = "hormone-therapy-at-index"


class PartForm(StrEnum):
    """How the value of a component is written; a day is a date or a period of possible days."""

    YES_NO = "yes-no"
    TIME_POINT = "time-point"
    COUNT = "count"
    DAY = "day"
    QUANTITY = "quantity"


#: The form of each component; the mark of an instrument is a yes.
PART_FORMS = {
    ComponentKey.NADIR: PartForm.QUANTITY,
    ComponentKey.THRESHOLD: PartForm.QUANTITY,
    ComponentKey.FAILING_PSA: PartForm.QUANTITY,
    ComponentKey.EVENT: PartForm.YES_NO,
    ComponentKey.TIME_POINT: PartForm.TIME_POINT,
    ComponentKey.BASELINE_SCORE: PartForm.QUANTITY,
    ComponentKey.UNGRADED: PartForm.COUNT,
    ComponentKey.SALVAGE_THERAPY: PartForm.DAY,
    ComponentKey.PSA_RESPONSE: PartForm.YES_NO,
    ComponentKey.DAYS_TO_NADIR: PartForm.QUANTITY,
    ComponentKey.HORMONE_THERAPY_AT_INDEX: PartForm.YES_NO,
}
#: UCUM units of the components that are quantities.
PART_UNITS: dict[str, str] = {
    ComponentKey.NADIR: "ng/mL",
    ComponentKey.THRESHOLD: "ng/mL",
    ComponentKey.FAILING_PSA: "ng/mL",
    ComponentKey.BASELINE_SCORE: "{score}",
    ComponentKey.DAYS_TO_NADIR: "d",
}


class Evidence(msgspec.Struct, gc=False, frozen=True):
    """A resource that a result rests on: its role, its value, and its day (None: not known)."""

    role: Role
    ref: str
    value: int | str | Decimal | Fraction = ""
    day: date | None = None


class ResultComponent(msgspec.Struct, gc=False):
    """A component: a number (in its unit of ``PART_UNITS``), a yes or no, a code, or a span.

    ``part``: a ``ComponentKey``, or the key of an instrument's mark. ``comparator``: ``<`` or
    ``<=`` where the number is only a limit.
    """

    part: ComponentKey | str
    value: Value | Span
    comparator: str = ""


class Result(msgspec.Struct, gc=False):
    """One endpoint of one patient.

    ``value``: as its type of value says: a bool for yes or no, a grade as text, else an exact
    number. ``comparator``: ``<`` or ``<=`` where the number is only a limit. ``high``: of a time
    that is known only as an interval, its upper bound; ``value`` is then the lower one. Without a
    value, ``absent`` and ``reason`` say why. ``start`` and ``end`` are the same day, or the first
    and last day of a period (``period``; ``end`` None: open). ``final``: no later data can change
    the result by rule.
    """

    endpoint: Endpoint
    start: date
    end: date | None
    final: bool
    value: Value | None = None
    comparator: str = ""
    high: int | None = None
    absent: Absent | None = None
    reason: Reason | None = None
    period: bool = False
    instrument: str = ""
    time_point: str = ""
    components: tuple[ResultComponent, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def code(self) -> str:
        """The published code: the endpoint's key, with the instrument where there is one."""
        return self.endpoint.code(self.instrument)


def absent(
    endpoint: Endpoint,
    period: tuple[date, date | None],
    kind: Absent,
    reason: Reason,
    evidence: Iterable[Evidence] = (),
    *,
    final: bool = False,
) -> Result:
    """A result without a value; ``period``: its first and last day (None: open)."""
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
