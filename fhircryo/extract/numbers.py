"""Numbers in resources: what is a number, and which are too large or too long to be measured."""

from decimal import Decimal
from typing import Any

from fhircryo.errors import UnreadableResource

#: A number of this power of ten and more, or with more decimal places, is no measurement.
LARGEST_EXPONENT = 18
_LIMIT: int = 10**LARGEST_EXPONENT


def is_sized(value: Decimal | int) -> bool:
    """Return whether a number has the size and the digits of a measurement.

    FHIR requires 18 significant digits at most (R4, decimal).
    """
    if type(value) is int:
        return -_LIMIT < value < _LIMIT
    exact = Decimal(value)
    exponent = exact.as_tuple().exponent
    in_places = isinstance(exponent, int) and exponent >= -LARGEST_EXPONENT
    return in_places and exact.adjusted() < LARGEST_EXPONENT


def number(value: Any, element: str) -> Decimal | int:
    """Return ``value`` if it is a JSON number.

    Raises:
        UnreadableResource: it is not a number.
    """
    if type(value) is int or type(value) is Decimal:
        return value
    raise UnreadableResource(f"{element}: a number is needed")
