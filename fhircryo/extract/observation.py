"""Observations: PSA results, disease status, grades of complications, questionnaires' scores."""

import re
from decimal import Context as Arithmetic
from decimal import Decimal, Inexact, InvalidOperation

from fhircryo.calendar import Span
from fhircryo.extract.context import (
    Context,
    Named,
    date_problem,
    label_of,
    number,
    resolved,
)
from fhircryo.extract.grades import by_components, by_value, grades_of
from fhircryo.fhir.wire import Observation, Quantity
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.mapping.concepts import GRADINGS, SCORE
from fhircryo.record.items import (
    Finding,
    Grading,
    Item,
    Kind,
    NotUsed,
    PsaResult,
    Reason,
    Response,
    Score,
)

UCUM = "http://unitsofmeasure.org"

# The first of these that an Observation is coded as decides what it is.
_PRECEDENCE = (
    "psa-excluded",
    "psa-not-convertible",
    "psa",
    "disease-status",
    *GRADINGS,
    SCORE,
)
_RANK = {concept: rank for rank, concept in enumerate(_PRECEDENCE)}

# FHIR asks for at most 18 significant digits (R4, decimal); what needs more is no measurement.
_ARITHMETIC = Arithmetic(prec=36, traps=[Inexact, InvalidOperation])
_LARGEST_EXPONENT = 18

#: A result sent as text: comparator, number, unit.
TEXT_RESULT = re.compile(
    r"\s*(<=|>=|<|>)?\s*([0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)\s*(\D.*?)?\s*", re.DOTALL
)
_COMPARATORS = {None: "", "": "", "<": "<", "<=": "<", ">": ">", ">=": ">"}


def observation(resource: Observation, ref: str, context: Context) -> Item:
    """The item of an Observation."""
    entry = _meaning(resource, context)
    own = resource.identifier is not None and context.is_own(resource.identifier)
    if own or entry is None or entry.concept == "psa-excluded":
        label = entry.label if entry else label_of(resource.code)
        reason = Reason.OWN_OUTPUT if own else Reason.UNMAPPED_CODE
        return Named(ref, resource.meta, context.owner(resource.subject), label).dropped(reason)
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
    """What it is coded as; of several meanings the one that decides."""
    best = None
    for entry in context.entries(resource.code, resource):
        rank = _RANK.get(entry.concept)
        if rank is not None and (best is None or rank < _RANK[best.concept]):
            best = entry
    return best


def _day(resource: Observation, named: Named, context: Context) -> Span | NotUsed:
    """The precise date, or the item of a resource that has none."""
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
    """``unit``: that of results which state none."""
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
    """A value in ng/mL, exact; or why there is none."""
    if measured < 0:
        return None, Reason.VALUE
    if factor is None:
        return None, Reason.UNIT
    try:
        # Decimal(int) is exact whatever its size; multiply raises where digits would be lost.
        value = _ARITHMETIC.multiply(Decimal(measured), factor)
    except (Inexact, InvalidOperation):
        return None, Reason.VALUE
    if value and abs(value.adjusted()) > _LARGEST_EXPONENT:
        return None, Reason.VALUE
    return value, None


def _factor(quantity: Quantity, context: Context, unit: str) -> Decimal | None:
    """ng/mL per unit: the UCUM code first, else the text; a code of another system is text."""
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
            return None  # the two texts contradict each other
    return factor


def _from_text(
    text: str, context: Context, default: str
) -> tuple[Decimal | None, str, Reason | None]:
    """A result sent as text: comparator, number (point or comma), unit; nothing else."""
    match = TEXT_RESULT.fullmatch(text)
    if match is None:
        return None, "", Reason.VALUE
    sign, digits, unit = match.groups()
    if unit and context.factor(unit) is None and re.match(r"[.,0-9<>=+\-]", unit):
        return None, "", Reason.VALUE  # more of a number: a range, a date, thousands
    unit = unit or default
    factor = context.factor(unit) if unit else None
    value, problem = _convert(Decimal(digits.replace(",", ".")), factor)
    return value, _COMPARATORS[sign], problem


def _disease_status(resource: Observation, named: Named, context: Context) -> Item:
    if resource.data_absent_reason is not None or resource.value_codeable_concept is None:
        return named.not_used(Reason.VALUE, "no disease status in it")
    if not context.means(resource.value_codeable_concept, "disease-worsened"):
        return named.dropped(Reason.UNMAPPED_CODE)
    _, when = context.first_date(
        resource.effective_date_time,
        resource.effective_instant,
        resource.effective_period,
    )
    return Finding(kind=Kind.PROGRESSION, when=when, **named.fields())


def _score(
    resource: Observation, named: Named, rank: int, context: Context, instrument: str
) -> Item:
    """A questionnaire's score, recorded as a number; dated as a PSA is."""
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
        return Score(instrument, problem=Reason.VALUE, detail="no score in it")
    if quantity is not None and quantity.value is not None:
        value = number(quantity.value, "valueQuantity.value")
    elif resource.value_integer is not None:
        value = number(resource.value_integer, "valueInteger")
    if value is None:
        return Score(instrument, problem=Reason.VALUE, detail="no score in it")
    return context.instruments.by_key[instrument].from_total({value})


def _grading(resource: Observation, named: Named, context: Context, scale: str) -> Item:
    _, when = context.first_date(
        resource.effective_date_time,
        resource.effective_instant,
        resource.effective_period,
    )
    references = [*(resource.focus or ()), *(resource.part_of or ())]
    places = [*by_value(resource, scale), *by_components(resource, context)]
    return Grading(
        when=when,
        events=tuple(sorted(set(resolved(context, references, "AdverseEvent")))),
        procedures=tuple(sorted(set(resolved(context, references, "Procedure")))),
        grades=grades_of(context, places),
        **named.fields(),
    )
