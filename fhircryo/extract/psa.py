"""Extracts PSA results: from the value of an Observation, and from those of its components."""

import re
from collections.abc import Sequence
from decimal import Context as DecimalContext
from decimal import Decimal, Inexact, InvalidOperation

import msgspec

from fhircryo.calendar import Span
from fhircryo.extract.context import Context, Named, is_present
from fhircryo.extract.numbers import LARGEST_EXPONENT, is_sized, number
from fhircryo.fhir.wire import Component, Observation, Quantity
from fhircryo.record.items import PsaResult, Reason

UCUM = "http://unitsofmeasure.org"

# FHIR requires 18 significant digits at most (R4, decimal); a longer number is not a measurement.
_ARITHMETIC = DecimalContext(prec=36, traps=[Inexact, InvalidOperation])

#: A result as text: comparator, number and unit. Its groups never give back what they took, so
#: that any text is decided in linear time.
TEXT_RESULT = re.compile(
    r"\s*+(<=|>=|<|>|=)?+\s*+([0-9]++(?:[.,][0-9]*+)?+|[.,][0-9]++)\s*+([^\s0-9].*+)?+", re.DOTALL
)
#: A unit that begins so is none: the text is a range, a date or grouped thousands.
_NO_UNIT = re.compile(r"[.,0-9<>=+\-]")
#: A comma that could separate thousands.
_THOUSANDS = re.compile(r"[1-9][0-9]*,[0-9]{3}")
_COMPARATORS = {None: "", "": "", "=": "", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


#: An Observation or component whose code is PSA, and the unit of its results that state none.
PsaStatement = tuple[Observation | Component, str]


def empty_result(resource: Observation, named: Named, when: Span, rank: int) -> PsaResult:
    """Return the PSA result of an Observation of a used status, without a value yet."""
    return PsaResult(
        ref=named.ref,
        patient=named.patient,
        code=named.code,
        updated=named.updated,
        version=named.version,
        when=when,
        rank=rank,
        value=None,
        comparator="",
        issued=resource.issued,
    )


def agreed_result(
    result: PsaResult, statements: Sequence[PsaStatement], context: Context
) -> PsaResult:
    """Set what several elements of one Observation state; different results leave no value.

    ``statements``: the Observation and its components whose code is PSA, at least one.
    """
    found = [
        set_result(msgspec.structs.replace(result), element, unit, context)
        for element, unit in statements
    ]
    stated = [one for one in found if one.measured is not None or one.text] or found
    chosen = stated[0]
    if len({(one.value, one.comparator, one.problem) for one in stated}) > 1:
        chosen.value, chosen.problem = None, Reason.VALUE
        chosen.text = "; ".join(one.recorded for one in stated)
        chosen.measured = None
    return chosen


def set_result(
    result: PsaResult, element: Observation | Component, unit: str, context: Context
) -> PsaResult:
    """Set what an element states: value, comparator and problem, and the result as recorded.

    ``unit``: the unit of results that state none.
    """
    quantity = element.value_quantity
    if element.data_absent_reason is not None and is_present(element.data_absent_reason):
        result.problem = Reason.VALUE
    elif quantity is not None and quantity.value is not None:
        _set_measured(result, quantity, context, unit)
    elif element.value_string is not None:
        result.text = element.value_string
        result.value, result.comparator, result.problem = _from_text(result.text, context, unit)
    else:
        result.problem = Reason.VALUE
    return result


def _set_measured(result: PsaResult, quantity: Quantity, context: Context, unit: str) -> None:
    """Set value, comparator and problem of a numeric result.

    ``unit``: the unit of results that state none.
    """
    measured = number(quantity.value, "valueQuantity.value")
    # An integer that is too large could not be sent to another process.
    is_large = type(measured) is int and not is_sized(measured)
    result.measured = Decimal(measured) if is_large else measured
    result.unit = quantity.unit or quantity.code or ""
    comparator = _COMPARATORS.get(quantity.comparator)
    if comparator is None:
        result.problem = Reason.VALUE
        return
    result.comparator = comparator
    result.value, result.problem = _convert(measured, _factor(quantity, context, unit))
    if result.problem is Reason.UNIT and quantity.code and quantity.code != result.unit:
        result.unit = f"{result.unit} [{quantity.code}]"


def _convert(
    measured: Decimal | int, factor: Decimal | None
) -> tuple[Decimal | None, Reason | None]:
    """Return the exact value in ng/mL, or the reason why there is none.

    ``factor``: ng/mL per unit (None: unknown unit).
    """
    if measured < 0:
        return None, Reason.VALUE
    if factor is None:
        return None, Reason.UNIT
    try:
        # Decimal(int) is exact for any size; multiply raises if digits would be lost.
        value = _ARITHMETIC.multiply(Decimal(measured), factor)
    except (Inexact, InvalidOperation):
        return None, Reason.VALUE
    if value and abs(value.adjusted()) > LARGEST_EXPONENT:
        return None, Reason.VALUE
    return value, None


def _factor(quantity: Quantity, context: Context, unit: str) -> Decimal | None:
    """Return the factor to ng/mL: by the UCUM code, else by the text; None for an unknown unit.

    A code without a system is a UCUM code; one of another system is treated as text. A code and a
    text that are known and contradict each other give no unit.
    """
    code, text = quantity.code, quantity.unit
    if not code:
        stated = text or unit
        return context.factor(stated) if stated else None
    by_code = context.factor(code)
    if not text or text == code:
        return by_code
    by_text = context.factor(text)
    if not quantity.system or quantity.system == UCUM:
        first, second = by_code, by_text
    else:
        first, second = by_text, by_code
    return first if second is None or second == first else None


def _from_text(
    text: str, context: Context, default: str
) -> tuple[Decimal | None, str, Reason | None]:
    """Return value, comparator and problem of a result as text.

    The text must consist of an optional comparator, a number with a point or comma, and an optional
    unit. ``default``: the unit of results that state none.
    """
    match = TEXT_RESULT.fullmatch(text)
    if match is None:
        return None, "", Reason.VALUE
    sign, digits, unit = match.groups()
    if _THOUSANDS.fullmatch(digits):
        return None, "", Reason.VALUE
    if unit and context.factor(unit) is None and _NO_UNIT.match(unit):
        return None, "", Reason.VALUE
    unit = unit or default
    factor = context.factor(unit) if unit else None
    value, problem = _convert(Decimal(digits.replace(",", ".")), factor)
    return value, _COMPARATORS[sign], problem
