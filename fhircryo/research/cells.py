"""The cells of a row: values of results as the tables hold them."""

from datetime import date
from fractions import Fraction
from typing import Any

from fhircryo.calendar import Span
from fhircryo.endpoints.result import ComponentKey, Result, Value

_COMPONENTS = frozenset(str(key) for key in ComponentKey)

#: A row by column name; a column that is not in it is empty.
Row = dict[str, Any]


def days_of(result: Result, d0: date) -> int | None:
    """The day that a result is dated by, counted from D0; None if it is dated by a period.

    A period ends with a month, with a year or on the as-of date, so its days would disclose D0.
    """
    if result.period or result.end is None or result.start != result.end:
        return None
    return (result.start - d0).days


def as_float(value: Value | None) -> float | None:
    """A number as a float; None for a value that is not a number."""
    if value is None or isinstance(value, bool | str):
        return None
    if isinstance(value, Fraction):
        return value.numerator / value.denominator
    return float(value)


def marks_of(result: Result) -> list[str]:
    """The marks of an instrument that a result carries: its components of other keys."""
    if not result.components:
        return []
    return sorted(
        component.part
        for component in result.components
        if component.value is True and component.part not in _COMPONENTS
    )


def component_value(result: Result, part: ComponentKey) -> Value | Span | None:
    """The value of a result's component; None if the result does not have the component."""
    for component in result.components:
        if component.part is part:
            return component.value
    return None
