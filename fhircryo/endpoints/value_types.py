"""The types of value that endpoints have: the one table that every other package reads.

An entry says how a value of the type is published, which columns the cohort's tables have for it,
and how it is worded. A new type of value is one more entry; nothing else switches on the type.
"""

from enum import StrEnum, auto

import msgspec


class ValueForm(StrEnum):
    """How a value is written: as a coded yes or no, a coded grade, a count, or a quantity."""

    YES_NO = auto()
    GRADE = auto()
    COUNT = auto()
    QUANTITY = auto()


class Detail(StrEnum):
    """What the cohort's tables hold of an endpoint beside its value; also the column's suffix."""

    #: Whether a time ends with the event; otherwise it is censored.
    EVENT = auto()
    #: The upper bound of a time that is known only as an interval.
    HIGH = auto()
    #: Whether a number is only a limit.
    COMPARATOR = auto()
    #: Why there is no value.
    REASON = auto()
    #: The day that the endpoint is dated by, counted from D0.
    DAYS = auto()
    #: How many complications carry no grade of the scale.
    UNGRADED = auto()


class ValueType(msgspec.Struct, frozen=True):
    """A type of value.

    ``key``: its name in the profile of the Observations that have such a value. ``words``: the type
    as the reference page names it. ``unit``: the UCUM unit of a quantity.
    ``unit_words``: the unit as people read it, empty where a number is shown without one.
    ``whole``: a quantity that is always a whole number. ``details``: in the order of their columns.

    Raises:
        ValueError: a quantity has no unit, or a time to event is not in whole days.
    """

    key: str
    words: str
    form: ValueForm
    details: tuple[Detail, ...]
    unit: str = ""
    unit_words: str = ""
    whole: bool = False

    def __post_init__(self) -> None:
        if (self.form is ValueForm.QUANTITY) != bool(self.unit):
            raise ValueError(f"value type {self.words!r}: quantities have a UCUM unit, others none")
        if self.is_time_to_event and (self.unit != "d" or not self.whole):
            raise ValueError(
                f"value type {self.words!r}: a time to event is in whole days (unit d), because"
                " survival curves are drawn by day"
            )

    @property
    def is_time_to_event(self) -> bool:
        """Whether a value is a time that ends with an event or is censored."""
        return Detail.EVENT in self.details


YES_NO = ValueType("yes-no", "yes or no", ValueForm.YES_NO, (Detail.REASON, Detail.DAYS))
PSA = ValueType(
    "psa",
    "ng/mL",
    ValueForm.QUANTITY,
    (Detail.COMPARATOR, Detail.REASON, Detail.DAYS),
    unit="ng/mL",
    unit_words="ng/mL",
)
TIME_TO_EVENT = ValueType(
    "time-to-event",
    "days, event or censored",
    ValueForm.QUANTITY,
    (Detail.HIGH, Detail.EVENT, Detail.REASON),
    unit="d",
    unit_words="days",
    whole=True,
)
COUNT = ValueType("count", "count", ValueForm.COUNT, (Detail.REASON,))
GRADE = ValueType("grade", "grade", ValueForm.GRADE, (Detail.REASON, Detail.UNGRADED))
SCORE = ValueType(
    "score", "score", ValueForm.QUANTITY, (Detail.REASON, Detail.DAYS), unit="{score}"
)
