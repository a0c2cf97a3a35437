"""Extracts QuestionnaireResponses: the scores of the instruments that they answer."""

import re
from decimal import Decimal

import msgspec

from fhircryo.extract.context import Context, Named, date_problem
from fhircryo.extract.numbers import number
from fhircryo.extract.scoring import Answers, AnswerScores, InstrumentScorer, Number
from fhircryo.fhir.decode import decode_element
from fhircryo.fhir.wire import (
    QUESTIONNAIRES,
    Answer,
    Coding,
    QuestionnaireResponse,
    ResponseItem,
)
from fhircryo.record.items import Item, Reason, Response, Score

#: The extensions that state the number of an answer; the second has succeeded the first:
#: https://hl7.org/fhir/R4/extension-ordinalvalue.html and
#: https://hl7.org/fhir/extensions/StructureDefinition-itemWeight.html
WEIGHTS = frozenset(
    {
        "http://hl7.org/fhir/StructureDefinition/ordinalValue",
        "http://hl7.org/fhir/StructureDefinition/itemWeight",
    }
)
_PLAIN_NUMBER = re.compile(r"\s*[+-]?[0-9]+(?:[.,][0-9]+)?\s*")
_NO_QUESTIONNAIRE = "(no questionnaire)"

_NO_CODES: AnswerScores = {}
_VALUE_FIELDS = tuple(name for name in Answer.__struct_fields__ if name.startswith("value_"))


def questionnaire_response(resource: QuestionnaireResponse, ref: str, context: Context) -> Item:
    """Return the item of a QuestionnaireResponse."""
    canonical = _canonical(resource)
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
    instruments = context.instruments.find(canonical, answers)
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
    scores = tuple([_score(instrument, answers) for instrument in instruments])
    return Response(when=when, rank=rank, scores=scores, **named.fields())


def _canonical(resource: QuestionnaireResponse) -> str:
    """Return the canonical URL without version; of a contained Questionnaire, the URL it states."""
    canonical = (resource.questionnaire or "").partition("|")[0]
    if canonical.startswith("#"):
        for one in decode_element(QUESTIONNAIRES, resource.contained):
            if one.resource_type == "Questionnaire" and one.id in (canonical, canonical[1:]):
                return (one.url or canonical).partition("|")[0]
    return canonical


def _collect(items: list[ResponseItem] | None, answers: Answers) -> None:
    """Collect all answers by linkId, at any depth (item.item and answer.item)."""
    for item in items or ():
        link = item.link_id
        for answer in item.answer or ():
            if link and (answer.value_integer is not None or _is_answered(answer)):
                if link in answers:
                    answers[link].append(answer)
                else:
                    answers[link] = [answer]
            if answer.item:
                _collect(answer.item, answers)
        if item.item:
            _collect(item.item, answers)


def _is_answered(answer: Answer) -> bool:
    return any(getattr(answer, field) is not None for field in _VALUE_FIELDS)


def _score(instrument: InstrumentScorer, answers: Answers) -> Score:
    """Return the exact score of the instrument, or the reason why there is none."""
    values: list[Number | None] = []
    answered = False
    for item in instrument.items:
        given = answers.get(item.link) if item.link else None
        if given is not None and len(given) == 1:
            # The most frequent case, handled first for speed: one linkId with one integer.
            plain = given[0].value_integer
            if type(plain) is int and plain in item.allowed:
                values.append(plain)
                answered = True
                continue
        numbers = _numbers(item.links, answers, item.codes)
        if not numbers:
            values.append(None)
            continue
        value = next(iter(numbers))
        if len(numbers) > 1 or value is None or value not in item.allowed:
            return Score(instrument.key, problem=Reason.INVALID_ITEM, detail=item.key)
        values.append(item.allowed[value])
        answered = True
    total = _numbers(instrument.total_links, answers, _NO_CODES)
    if not answered and total:
        return instrument.from_total(total)
    score = instrument.score(tuple(values))
    if score.problem is None and total and total != {score.value}:
        # The score itself is shared by all responses with these answers.
        return msgspec.structs.replace(score, mismatch=True)
    return score


def _numbers(links: tuple[str, ...], answers: Answers, codes: AnswerScores) -> set[Number | None]:
    """Return the distinct numbers of the answers to ``links``; None for an answer without one."""
    found: set[Number | None] = set()
    for link in links:
        for answer in answers.get(link, ()):
            found.add(_number(answer, codes))
    return found


def _number(answer: Answer, codes: AnswerScores) -> Number | None:
    """Return the number that an answer states; None if it states none."""
    if answer.value_integer is not None:
        return number(answer.value_integer, "valueInteger")
    if answer.value_decimal is not None:
        return number(answer.value_decimal, "valueDecimal")
    if answer.value_quantity is not None:
        value = answer.value_quantity.value
        return None if value is None else number(value, "valueQuantity.value")
    if answer.value_coding is not None:
        return _of_coding(answer, answer.value_coding, codes)
    if answer.value_string is not None and _PLAIN_NUMBER.fullmatch(answer.value_string):
        return Decimal(answer.value_string.strip().replace(",", "."))
    return None


def _of_coding(answer: Answer, coding: Coding, codes: AnswerScores) -> Number | None:
    score = codes.get((coding.system, coding.code))
    if score is not None:
        return score
    weights = {
        number(extension.value_decimal, "ordinalValue")
        for extension in (*(coding.extension or ()), *(answer.extension or ()))
        if extension.url in WEIGHTS and extension.value_decimal is not None
    }
    return weights.pop() if len(weights) == 1 else None
