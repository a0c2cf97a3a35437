"""How a result is recorded: the data type, the unit and the number."""

from decimal import Decimal
from typing import Any

from fhircryo.extract.psa import TEXT_RESULT, UCUM
from fhircryo.fhir.wire import Component, Observation
from fhircryo.setup.survey.counts import AS_NUMBER, AS_TEXT, Number, ResultKind, shortened


def is_number(value: Any) -> bool:
    """Return whether a decoded value is a number; a Boolean is none."""
    return type(value) is int or type(value) is Decimal


def recorded_result(element: Observation | Component) -> tuple[ResultKind, Number | None]:
    """Return how a result is recorded, and its number if it has one.

    The unit is the UCUM code if there is one, as in a run, and the printed unit otherwise.
    """
    if element.data_absent_reason is not None:
        return ResultKind("absent"), None
    quantity = element.value_quantity
    if quantity is not None and is_number(quantity.value):
        coded = quantity.code and (not quantity.system or quantity.system == UCUM)
        unit = (quantity.code if coded else quantity.unit or quantity.code) or ""
        return ResultKind(AS_NUMBER, shortened(unit)), quantity.value
    if is_number(element.value_integer):
        return ResultKind("whole numbers"), element.value_integer
    if element.value_string is not None:
        match = TEXT_RESULT.fullmatch(element.value_string)
        if match is None:
            return ResultKind("texts"), None
        number = Decimal(match[2].replace(",", "."))
        return ResultKind(AS_TEXT, shortened((match[3] or "").rstrip())), number
    if element.value_codeable_concept is not None:
        return ResultKind("coded"), None
    if isinstance(element, Observation) and bytes(element.component):
        return ResultKind("with components"), None
    return ResultKind("without value"), None
