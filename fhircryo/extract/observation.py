"""Extracts Observations: PSA results, disease status, gradings, scores of questionnaires."""

import re
from decimal import Context as DecimalContext
from decimal import Decimal, Inexact, InvalidOperation

from fhircryo.calendar import Span
from fhircryo.extract.context import (
    Context,
    Named,
    date_problem,
    label_of,
    number,
    only_counted,
    resolved,
)
from fhircryo.extract.grades import by_components, by_value, grades_of
from fhircryo.fhir.wire import Observation, Quantity
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.mapping.concepts import GRADINGS, SCORE
from fhircryo.record.items import (
    EventKind,
    Finding,
    Grading,
    Item,
    NotUsed,
    PsaResult,
    Reason,
    Response,
    Score,
)

UCUM = "http://unitsofmeasure.org"

# If an Observation has several of these meanings, the first decides.
_PRECEDENCE = (
    "psa-excluded",
    "psa-not-convertible",
    "psa",
    "disease-status",
    *GRADINGS,
    SCORE,
)
_RANK = {concept: rank for rank, concept in enumerate(_PRECEDENCE)}

# FHIR requires 18 significant digits at most (R4, decimal); a longer number is not a measurement.
_ARITHMETIC = DecimalContext(prec=36, traps=[Inexact, InvalidOperation])
_LARGEST_EXPONENT = 18

#: A result as text: comparator, number and unit.
TEXT_RESULT = re.compile(
    r"\s*(<=|>=|<|>)?\s*([0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)\s*(\D.*?)?\s*", re.DOTALL
)
_COMPARATORS = {None: "", "": "", "<": "<", "<=": "<", ">": ">", ">=": ">"}


def observation(resource: Observation, ref: str, context: Context) -> Item:
    """Return the item of an Observation."""
    entry = _meaning(resource, context)
    own = resource.identifier is not None and context.is_own(resource.identifier)
    if own or entry is None or entry.concept == "psa-excluded":
        label = entry.label if entry else label_of(resource.code)
        return only_counted(resource, ref, context, label, own=own)
    patient = context.patient(resource.subject)
    named = Named(ref, resource.meta, patient, entry.label)
    if context.is_test(resource.meta):
        return named.not_used(Reason.TEST_DATA)
    if not patient:
        return named.not_used(Reason.NO_SUBJECT)
    if entry.concept == "psa-not-convertible":
        return named.not_used(Reason.PSA_NOT_CONVERTIBLE, entry.label)
    rank = context.observation_ranks.get(resource.status)
    if rank is None:
        return named.not_used(Reason.STATUS, resource.status or "no status")
    if entry.concept == "psa":
        return _psa(resource, named, rank, context, entry.unit)
    if entry.concept == "disease-status":
        return _disease_status(resource, named, context)
    if entry.concept == SCORE:
        return _score(resource, named, rank, context, entry.of)
    return _grading(resource, named, context, entry.of)


def _meaning(resource: Observation, context: Context) -> CodeEntry | None:
    """Return the entry that decides what the Observation is; None if it is unmapped."""
    best = None
    for entry in context.entries(resource.code, resource):
        rank = _RANK.get(entry.concept)
        if rank is not None and (best is None or rank < _RANK[best.concept]):
            best = entry
    return best


def _day(resource: Observation, named: Named, context: Context) -> Span | NotUsed:
    """Return the precise date, or the item of a resource that has none."""
    written = (
        resource.effective_date_time
        or resource.effective_instant
        or (resource.effective_period.start if resource.effective_period else None)
    )
    when = context.dates.read(written) if written else None
    if when is None:
        return date_problem(named, written)
    if when.first != when.last:
        return named.not_used(Reason.IMPRECISE_DATE, str(written))
    return when


def _psa(resource: Observation, named: Named, rank: int, context: Context, unit: str) -> Item:
    when = _day(resource, named, context)
    if isinstance(when, NotUsed):
        return when
    result = PsaResult(
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
    quantity = resource.value_quantity
    if resource.data_absent_reason is not None:
        result.problem = Reason.VALUE
    elif quantity is not None and quantity.value is not None:
        _set_measured(result, quantity, context, unit)
    elif resource.value_string is not None:
        result.text = resource.value_string
        result.value, result.comparator, result.problem = _from_text(result.text, context, unit)
    else:
        result.problem = Reason.VALUE
    return result


def _set_measured(result: PsaResult, quantity: Quantity, context: Context, unit: str) -> None:
    """Set value, comparator and problem of a numeric result.

    ``unit``: the unit of results that state none.
    """
    measured = number(quantity.value, "valueQuantity.value")
    result.measured = measured
    result.unit = quantity.unit or quantity.code or ""
    comparator = _COMPARATORS.get(quantity.comparator)
    if comparator is None:
        result.problem = Reason.VALUE
        return
    result.comparator = comparator
    result.value, result.problem = _convert(measured, _factor(quantity, context, unit))


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
    if value and abs(value.adjusted()) > _LARGEST_EXPONENT:
        return None, Reason.VALUE
    return value, None


def _factor(quantity: Quantity, context: Context, unit: str) -> Decimal | None:
    """Return the factor to ng/mL: by the UCUM code, else by the text.

    A code of another system is treated as text.
    """
    code = quantity.code
    if code and (not quantity.system or quantity.system == UCUM):
        return context.factor(code)
    if not quantity.unit:
        stated = code or unit
        return context.factor(stated) if stated else None
    factor = context.factor(quantity.unit)
    if code and factor is not None:
        other = context.factor(code)
        if other is not None and other != factor:
            return None  # code and text contradict each other
    return factor


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
    if unit and context.factor(unit) is None and re.match(r"[.,0-9<>=+\-]", unit):
        return None, "", Reason.VALUE  # not one number: a range, a date, grouped thousands
    unit = unit or default
    factor = context.factor(unit) if unit else None
    value, problem = _convert(Decimal(digits.replace(",", ".")), factor)
    return value, _COMPARATORS[sign], problem


def _disease_status(resource: Observation, named: Named, context: Context) -> Item:
    if resource.data_absent_reason is not None or resource.value_codeable_concept is None:
        return named.not_used(Reason.VALUE, "no disease status")
    if not context.means(resource.value_codeable_concept, "disease-worsened"):
        return named.dropped(Reason.UNMAPPED_CODE)
    _, when = context.first_date(
        resource.effective_date_time,
        resource.effective_instant,
        resource.effective_period,
    )
    return Finding(kind=EventKind.PROGRESSION, when=when, **named.fields())


def _score(
    resource: Observation, named: Named, rank: int, context: Context, instrument: str
) -> Item:
    """Return the score of a questionnaire that is recorded as a number, dated like a PSA result."""
    when = _day(resource, named, context)
    if isinstance(when, NotUsed):
        return when
    return Response(
        when=when,
        rank=rank,
        scores=(_scored(resource, context, instrument),),
        observed=True,
        issued=resource.issued,
        **named.fields(),
    )


def _scored(resource: Observation, context: Context, instrument: str) -> Score:
    quantity = resource.value_quantity
    value = None
    if resource.data_absent_reason is not None or (quantity is not None and quantity.comparator):
        return Score(instrument, problem=Reason.VALUE, detail="no score")
    if quantity is not None and quantity.value is not None:
        value = number(quantity.value, "valueQuantity.value")
    elif resource.value_integer is not None:
        value = number(resource.value_integer, "valueInteger")
    if value is None:
        return Score(instrument, problem=Reason.VALUE, detail="no score")
    return context.instruments.by_key[instrument].from_total({value})


def _grading(resource: Observation, named: Named, context: Context, scale: str) -> Item:
    _, when = context.first_date(
        resource.effective_date_time,
        resource.effective_instant,
        resource.effective_period,
    )
    references = [*(resource.focus or ()), *(resource.part_of or ())]
    statements = [*by_value(resource, scale), *by_components(resource, context)]
    return Grading(
        when=when,
        events=tuple(sorted(set(resolved(context, references, "AdverseEvent")))),
        procedures=tuple(sorted(set(resolved(context, references, "Procedure")))),
        grades=grades_of(context, statements),
        **named.fields(),
    )
