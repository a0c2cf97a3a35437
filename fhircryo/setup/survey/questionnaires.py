"""The questionnaires in a source, and how well they fit the instruments."""

import re
from collections.abc import Iterable

from fhircryo.mapping.instrument_schema import (
    Questionnaire,
    QuestionnaireItem,
)
from fhircryo.mapping.load import Mappings
from fhircryo.setup.survey.counts import MIN_SHOWN, FormCounts, FormKey, LinkIdCounts
from fhircryo.setup.survey.suggestions import Suggester
from fhircryo.setup.survey.survey_json import Candidate, Fit, FormRow, LinkRow

#: Numbers or codes of the answers to a linkId are shown if at most this many differ.
_MOST_VALUES = 20
_MOST_LINKS = 200
_PART = re.compile(r"(?:[a-z]+|(?<!\d))\d+[a-z]?(?![a-z0-9])|[a-z]+", re.IGNORECASE)
_NUMBERED = re.compile(r"q(\d+[a-z]?)")


def form_rows(
    forms: dict[FormKey, FormCounts], mappings: Mappings, suggester: Suggester
) -> list[FormRow]:
    """Return a row for each questionnaire, the most answered first."""
    rows = [
        _row(canonical, form, mappings, suggester)
        for (canonical, _), form in _merged(forms).items()
    ]
    return sorted(rows, key=lambda row: (-row.responses, row.canonical, len(row.links)))


def _merged(forms: dict[FormKey, FormCounts]) -> dict[FormKey, FormCounts]:
    """Merge responses without a canonical URL into those that have all of their linkIds."""
    found: dict[FormKey, FormCounts] = {}
    for key, form in sorted(forms.items(), key=lambda item: (-len(item[0][1]), sorted(item[0][1]))):
        whole = next((other for other in found if not key[0] and key[1] <= other[1]), None)
        if whole is None:
            found[key] = form
        else:
            found[whole].merge(form)
    return found


def _row(canonical: str, form: FormCounts, mappings: Mappings, suggester: Suggester) -> FormRow:
    known = {key for keys in form.known_as for key in keys}
    named = {
        key
        for key, one in mappings.merged.questionnaires.by_key.items()
        if known & {score.key for score in one.questionnaire.scores}
    }
    row = FormRow(
        form.count,
        len(form.patients),
        canonical,
        [form.first, form.last] if form.first else [],
        sorted(named),
        [_link_row(link_id, link) for link_id, link in list(form.links.items())[:_MOST_LINKS]],
    )
    by_words = suggester.questionnaires([canonical, *form.links])
    fits = [
        _fit(one.questionnaire, form.links)
        for one in mappings.merged.questionnaires.by_key.values()
    ]
    for fit in fits:
        alone = not (named or by_words) and len(fit.items) == fit.needed and not fit.other
        if fit.questionnaire in named or fit.questionnaire in by_words or alone:
            row.fits.append(fit)
    row.fits.sort(key=lambda fit: (fit.other > 0, -len(fit.items)))
    if not named:
        remark = "" if by_words else "by its linkIds and answers alone, so it may be another form"
        row.candidates = [Candidate(fit.questionnaire, remark) for fit in row.fits]
    return row


def _link_row(link_id: str, link: LinkIdCounts) -> LinkRow:
    row = LinkRow(link_id, dict(sorted(link.types.items())))
    if len(link.numbers) <= _MOST_VALUES and len(link.some_patients) >= MIN_SHOWN:
        row.numbers = [min(link.numbers), max(link.numbers)] if link.numbers else []
    if len(link.codes) <= _MOST_VALUES:
        row.codes = [list(code) for code in sorted(link.codes)]
    return row


def _fit(questionnaire: Questionnaire, links: dict[str, LinkIdCounts]) -> Fit:
    found: dict[str, str] = {}
    alike: list[str] = []
    by_name = _names(links)
    for item in questionnaire.items:
        link = next((one for one in item.link_ids if one in links), "")
        if not link:
            link = by_name.get(item.key.casefold(), "")
            number = _NUMBERED.fullmatch(item.key.casefold())
            if not link and number:
                link = by_name.get(number[1], "")
            if link:
                alike.append(link)
        if link:
            found[item.key] = link
    fit = Fit(questionnaire.key, found, len(questionnaire.items), alike)
    for item in questionnaire.items:
        if item.key in found:
            _count(fit, item, links[found[item.key]])
    return fit


def _names(links: Iterable[str]) -> dict[str, str]:
    """The first linkId for each of its parts that may name an item, such as q1, 29 or amount."""
    found: dict[str, str] = {}
    for link in links:
        for part in _PART.findall(link.casefold()):
            found.setdefault(part, link)
            if any(letter.isdigit() for letter in part):
                break  # the form tool adds what follows the first number
    return found


def _count(fit: Fit, item: QuestionnaireItem, link: LinkIdCounts) -> None:
    allowed = frozenset(item.numbers)
    for number, times in link.numbers.items():
        if number in allowed:
            fit.allowed += times
        else:
            fit.other += times
    scored = {(answer.system or "", answer.code) for answer in item.answers}
    for code, times in link.codes.items():
        if code in scored:
            fit.scored += times
        else:
            fit.unscored += times
