"""Counts the answers of questionnaire responses by questionnaire and linkId."""

from fhircryo.extract.scoring import InstrumentFinder
from fhircryo.fhir.wire import Answer, QuestionnaireResponse, ResponseItem
from fhircryo.setup.survey.counts import MIN_SHOWN, FormCounts, FormKey, LinkIdCounts, Number
from fhircryo.setup.survey.recorded_results import is_number


def add_response(
    forms: dict[FormKey, FormCounts],
    instruments: InstrumentFinder,
    resource: QuestionnaireResponse,
    patient: int,
    year: str,
) -> None:
    """Count a response; ``patient``: 0 if unknown; ``year``: empty if unknown."""
    canonical = (resource.questionnaire or "").split("|", 1)[0]
    answers: dict[str, list[Answer]] = {}
    _collect(resource.item, answers)
    key = (canonical, frozenset() if canonical else frozenset(answers))
    form = forms.get(key)
    if form is None:
        form = forms[key] = FormCounts()
    form.add(patient, year)
    answered = {link: given for link, given in answers.items() if given}
    known = instruments.find(canonical, answered)
    form.known_as[tuple([one.key for one in known])] += 1
    for link_id, given in answers.items():
        link = form.links.get(link_id)
        if link is None:
            link = form.links[link_id] = LinkIdCounts()
        for answer in given:
            _add_answer(link, answer, patient)


def _collect(items: list[ResponseItem] | None, answers: dict[str, list[Answer]]) -> None:
    """Collect the answers to every linkId at any depth, except linkIds that only group others."""
    for item in items or ():
        if item.link_id and (item.answer or not item.item):
            answers.setdefault(item.link_id, []).extend(item.answer or ())
        for answer in item.answer or ():
            if answer.item:
                _collect(answer.item, answers)
        if item.item:
            _collect(item.item, answers)


def _add_answer(link: LinkIdCounts, answer: Answer, patient: int) -> None:
    value: Number | None = None
    if answer.value_integer is not None:
        type_, value = "integer", answer.value_integer
    elif answer.value_decimal is not None:
        type_, value = "decimal", answer.value_decimal
    elif answer.value_quantity is not None:
        type_, value = "quantity", answer.value_quantity.value
    elif answer.value_coding is not None:
        type_ = "coding"
        link.codes[answer.value_coding.system or "", answer.value_coding.code or ""] += 1
    elif answer.value_string is not None:
        type_ = "string"
    else:
        given = (name for name in answer.__struct_fields__ if getattr(answer, name) is not None)
        type_ = next(given, "item").removeprefix("value_").replace("_", " ")
    link.types[type_] += 1
    if patient and len(link.some_patients) < MIN_SHOWN:
        link.some_patients.add(patient)
    if value is not None and is_number(value):
        link.numbers[value] += 1
