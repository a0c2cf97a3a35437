"""Extracts PSA results: from the value of an Observation, and from those of its components."""

import re
from collections.abc import Sequence
from decimal import Context as DecimalContext
from decimal import Decimal, Inexact, InvalidOperation
from typing import NamedTuple

from fhircryo.calendar import Span
from fhircryo.extract.context import Context, Named, is_present
from fhircryo.extract.numbers import LARGEST_EXPONENT, is_sized, number
from fhircryo.fhir.wire import Component, Observation, Quantity
from fhircryo.mapping.code_index import CodeEntry
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


class PsaStatement(NamedTuple):
    """An Observation or component whose code is PSA, and the entry of the code."""

    element: Observation | Component
    entry: CodeEntry


class _Measured(NamedTuple):
    """What decides whether two results of one Observation are the same."""

    value: Decimal | None
    comparator: str
    problem: Reason | None


def psa_result(
    resource: Observation,
    statements: Sequence[PsaStatement],
    when: Span,
    named: Named,
    context: Context,
) -> PsaResult:
    """Return the PSA result of an Observation of a used status.

    ``statements``: the Observation and its components whose code is PSA, at least one. Several that
    state different results leave none.
    """
    rank = context.observation_ranks[resource.status]
    found = [
        _stated(one, _without_value(resource, when, rank, named), context) for one in statements
    ]
    if len(found) == 1:
        return found[0]
    stated = [one for one in found if one.measured is not None or one.text] or found
    chosen = stated[0]
    if len({_Measured(one.value, one.comparator, one.problem) for one in stated}) > 1:
        chosen.value, chosen.problem = None, Reason.VALUE
        chosen.text = "; ".join(one.recorded for one in stated)
        chosen.measured = None
    return chosen


def _without_value(resource: Observation, when: Span, rank: int, named: Named) -> PsaResult:
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


def _stated(statement: PsaStatement, result: PsaResult, context: Context) -> PsaResult:
    """Set what the element states: value, comparator and problem, and the result as recorded."""
    element, unit = statement.element, statement.entry.unit
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
    result.measured = measured if is_sized(measured) else Decimal(measured)
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
