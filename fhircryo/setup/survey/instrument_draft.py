"""Drafts the instruments of a site overlay: linkIds of their items, and codes of their scores."""

from dataclasses import dataclass, field

from fhircryo.mapping.load import Mappings
from fhircryo.mapping.questionnaire_merge import MergedQuestionnaire
from fhircryo.setup.survey.draft_lines import (
    DraftedCodes,
    Lines,
    OneLine,
    OneLineList,
    counted,
    fields,
    is_mappable,
    proposal,
    quoted,
    remark,
    under,
)
from fhircryo.setup.survey.survey_json import CodeRow, FormRow, Survey


@dataclass
class _Recorded:
    """How a site records an instrument, by all candidates for it.

    ``items``: the linkIds by item; ``observations``: the codes of scores, by score.
    """

    remarks: list[str] = field(default_factory=list)
    canonicals: list[str] = field(default_factory=list)
    signatures: list[list[str]] = field(default_factory=list)
    items: dict[str, list[str]] = field(default_factory=dict)
    observations: dict[str, list[CodeRow]] = field(default_factory=dict)


class InstrumentDraft:
    """Drafts the instruments for one survey; ``drafted``: the codes that are in the draft."""

    def __init__(self, survey: Survey, mappings: Mappings, drafted: DraftedCodes) -> None:
        self._survey = survey
        self._drafted = drafted
        self._forms = mappings.merged.questionnaires.by_key
        self._form_of = {
            score.key: key
            for key, form in self._forms.items()
            for score in form.questionnaire.scores
        }

    def lines(self) -> Lines:
        """Yield the lines of every instrument for which there is a candidate."""
        found: dict[str, _Recorded] = {}
        for row in self._survey.forms:
            # If the questionnaires fit by their linkIds alone, only the first is drafted.
            only = 1 if row.candidates and row.candidates[0].remark else None
            for candidate in row.candidates[:only]:
                self._form(row, candidate.of, found.setdefault(candidate.of, _Recorded()))
        for code in self._survey.codes:
            if code.candidate is not None and code.candidate.of in self._form_of:
                recorded = found.setdefault(self._form_of[code.candidate.of], _Recorded())
                recorded.observations.setdefault(code.candidate.of, []).append(code)
        for key in sorted(found):
            yield from self._instrument(key, found[key])

    def _form(self, row: FormRow, key: str, recorded: _Recorded) -> None:
        fit = next(one for one in row.fits if one.questionnaire == key)
        recorded.remarks.append(
            f"{row.responses} responses, {len(fit.items)} of {fit.needed} items"
        )
        recorded.remarks += [one.remark for one in row.candidates if one.of == key and one.remark]
        if row.canonical:
            if len(row.canonical.split()) == 1 and is_mappable(row.canonical):
                recorded.canonicals.append(row.canonical)
            else:
                words = "a canonical that contains a blank cannot be mapped"
                recorded.remarks.append(f"{quoted(row.canonical)}: {words}")
        elif fit.items and is_mappable(*fit.items.values()):
            recorded.signatures.append(list(dict.fromkeys(fit.items.values())))
        known = {value[0] for value in _links(self._forms[key])}
        known |= {link for links in recorded.items.values() for link in links}
        for item, link in fit.items.items():
            if link not in known and is_mappable(link):
                recorded.items.setdefault(item, []).append(link)
                known.add(link)
        missing = [link for link in row.links if link.link_id not in known]
        if missing:
            names = ", ".join(quoted(link.link_id) for link in missing[:20])
            recorded.remarks.append(f"linkIds that are no items of the instrument: {names}")
        coded = [link for link in row.links if link.link_id in fit.items.values() and link.codes]
        if coded and fit.unscored:
            codes = {"|".join(filter(None, code)) for link in coded for code in link.codes}
            recorded.remarks.append(
                f"answers are coded: {', '.join(map(quoted, sorted(codes)))}; what score does"
                " each have, for each item? answers: [{code: ..., score: ...}]"
            )

    def _instrument(self, key: str, recorded: _Recorded) -> Lines:
        for words in recorded.remarks:
            yield from remark(words, 4)
        lines: list[str] = []
        if recorded.canonicals:
            lines += proposal(fields(canonicals=OneLineList(recorded.canonicals)), 4)
        if recorded.signatures:
            shown = OneLineList(map(OneLineList, recorded.signatures))
            lines += proposal(fields(signatures=shown), 4)
        items: list[str] = []
        for item, links in recorded.items.items():
            items += proposal({item: OneLine(fields(link_ids=OneLineList(links)))}, 6)
        lines += under("items", 4, items)
        by_domain: list[str] = []
        for score, rows in recorded.observations.items():
            is_domain = bool(self._forms[key].questionnaire.domains)
            indent = 8 if is_domain else 4
            entries = [line for row in rows for line in self._score(row, indent + 2)]
            own = list(under("observations", indent, entries))
            if is_domain:
                by_domain += under(score, 6, own)
            else:
                lines += own
        lines += under("domains", 4, by_domain)
        yield from under(key, 2, lines)

    def _score(self, row: CodeRow, indent: int) -> Lines:
        if not row.system or not row.code:
            words = "only a code with a system can be mapped"
            yield from remark(f"{quoted(row.code or row.text)}: {words}", indent)
            return
        if not is_mappable(row.system, row.code) or not self._drafted.add(row.system, row.code):
            return
        yield from remark(counted(row), indent)
        if row.candidate is not None and row.candidate.remark:
            yield from remark(row.candidate.remark, indent)
        entry = OneLine(fields(system=row.system, code=row.code, verified=""))
        yield from proposal([entry], indent)


def _links(form: MergedQuestionnaire) -> list[tuple[str | None, ...]]:
    return [declared.value for declared in form.declarations if declared.field == "link_ids"]
