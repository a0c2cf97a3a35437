"""QuestionnaireResponses: the scores of the instruments that they answer."""

import re
from decimal import Decimal
from fractions import Fraction

from fhircryo.extract.context import Context, Named, date_problem, number
from fhircryo.fhir.wire import Answer, Coding, QuestionnaireResponse, ResponseItem
from fhircryo.mapping.schema import Instrument
from fhircryo.mapping.schema import Item as InstrumentItem
from fhircryo.model import Item, Reason, Response, Score

#: https://hl7.org/fhir/R4/extension-ordinalvalue.html
ORDINAL_VALUE = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
_PLAIN_NUMBER = re.compile(r"\s*[+-]?[0-9]+(?:[.,][0-9]+)?\s*")
_NO_QUESTIONNAIRE = "(no questionnaire)"

Answers = dict[str, list[Answer]]


def questionnaire_response(resource: QuestionnaireResponse, ref: str, context: Context) -> Item:
    """The item of a QuestionnaireResponse."""
    canonical = (resource.questionnaire or "").split("|", 1)[0]
    label = canonical or _NO_QUESTIONNAIRE
    named = Named(ref, resource.meta, context.patient(resource.subject), label)
    if context.is_own(resource.identifier):
        return named.dropped(Reason.OWN_OUTPUT)
    if context.is_test(resource.meta):
        return named.not_used(Reason.TEST_DATA)
    if not named.patient:
        return named.not_used(Reason.NO_SUBJECT)
    answers: Answers = {}
    _collect(resource.item, answers)
    instruments = context.mappings.canonicals.get(canonical) or _by_signature(answers, context)
    if not instruments:
        return named.not_used(Reason.UNMAPPED_QUESTIONNAIRE, label)
    try:
        rank = context.mappings.statuses.questionnaire_response.index(resource.status or "")
    except ValueError:
        return named.not_used(Reason.STATUS, resource.status or "no status")
    when = context.dates.read(resource.authored) if resource.authored else None
    if when is None:
        return date_problem(named, resource.authored)
    if not when.precise:
        return named.not_used(Reason.IMPRECISE_DATE, str(resource.authored))
    scores = tuple(_score(instrument, answers) for instrument in instruments)
    return Response(when=when, rank=rank, scores=scores, **named.fields())


def _collect(items: list[ResponseItem] | None, answers: Answers) -> None:
    """All answers by linkId, at any depth (item.item and answer.item)."""
    for item in items or ():
        for answer in item.answer or ():
            if item.link_id and _is_answered(answer):
                answers.setdefault(item.link_id, []).append(answer)
            _collect(answer.item, answers)
        _collect(item.item, answers)


def _is_answered(answer: Answer) -> bool:
    return any(
        getattr(answer, field) is not None for field in answer.__struct_fields__ if field != "item"
    )


def _by_signature(answers: Answers, context: Context) -> tuple[Instrument, ...]:
    """The instruments whose linkIds are all there."""
    return tuple(
        instrument
        for signature, instrument in context.mappings.signatures
        if signature <= answers.keys()
    )


def _score(instrument: Instrument, answers: Answers) -> Score:
    """The instrument's score, exact; or why there is none."""
    values: list[Decimal | int] = []
    for item in instrument.items:
        given = [answer for link in item.link_ids for answer in answers.get(link, ())]
        if not given:
            continue
        numbers = {_number(answer, item) for answer in given}
        value = numbers.pop()
        if numbers or value is None or value not in item.allowed:
            return Score(instrument.key, problem=Reason.INVALID_ITEM, detail=item.key)
        values.append(value)
    total = _total(instrument, answers)
    if not values and total:
        return _from_total(instrument, total)
    if len(values) < instrument.minimum_answered:
        return Score(
            instrument.key,
            problem=Reason.INCOMPLETE,
            detail=f"{len(values)} of {len(instrument.items)} items answered",
        )
    score = _compute(instrument, values)
    mismatch = bool(total) and total != {score}
    return Score(instrument.key, score.numerator, score.denominator, mismatch=mismatch)


def _compute(instrument: Instrument, values: list[Decimal | int]) -> Fraction:
    rule = instrument.score
    score = sum((Fraction(value) for value in values), Fraction(0))
    if rule.method == "mean":
        score /= len(values)
    return (score - Fraction(rule.subtract)) / Fraction(rule.divide) * Fraction(rule.multiply)


def _total(instrument: Instrument, answers: Answers) -> set[Decimal | int | None]:
    """The distinct numbers recorded as the total; None among them for one that is no number."""
    links = instrument.total.link_ids if instrument.total else ()
    return {_number(answer, None) for link in links for answer in answers.get(link, ())}


def _from_total(instrument: Instrument, total: set[Decimal | int | None]) -> Score:
    value = total.pop()
    rule = instrument.total
    if (
        total
        or value is None
        or rule is None
        or value % 1
        or not rule.minimum <= value <= rule.maximum
    ):
        return Score(instrument.key, problem=Reason.INVALID_ITEM, detail="total")
    return Score(instrument.key, int(value))


def _number(answer: Answer, item: InstrumentItem | None) -> Decimal | int | None:
    """The number that an answer is; None where it is none."""
    if answer.value_integer is not None:
        return number(answer.value_integer, "valueInteger")
    if answer.value_decimal is not None:
        return number(answer.value_decimal, "valueDecimal")
    if answer.value_quantity is not None:
        value = answer.value_quantity.value
        return None if value is None else number(value, "valueQuantity.value")
    if answer.value_coding is not None:
        return _of_coding(answer.value_coding, item)
    if answer.value_string is not None and _PLAIN_NUMBER.fullmatch(answer.value_string):
        return Decimal(answer.value_string.strip().replace(",", "."))
    return None


def _of_coding(coding: Coding, item: InstrumentItem | None) -> Decimal | int | None:
    for known in item.answers if item is not None else ():
        if (known.system, known.code) == (coding.system, coding.code):
            return known.score
    for extension in coding.extension or ():
        if extension.url == ORDINAL_VALUE and extension.value_decimal is not None:
            return number(extension.value_decimal, "ordinalValue")
    return None
