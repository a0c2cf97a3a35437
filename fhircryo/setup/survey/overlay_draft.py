"""Drafts a site overlay with every candidate as a comment, for a person to decide.

A line that begins with one ``#`` becomes a line of the overlay once the ``#`` is removed. A line
that begins with ``##`` remains a comment.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby

from fhircryo.mapping.concepts import CONCEPTS
from fhircryo.mapping.forms import Form
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.texts import folded, normal_unit
from fhircryo.setup.survey.counts import NOT_SHOWN
from fhircryo.setup.survey.survey_json import (
    CodeRow,
    FormRow,
    GradeRow,
    PlaceRow,
    Survey,
)

Lines = Iterator[str]

_HEAD = """\
## A draft of a site overlay: candidates that are not mapped yet. As long as they are comments, they
## have no effect. Ask the people who record a candidate: does it mean this and nothing else? If so,
## remove the # from its lines and from the headings above them, and write into `verified` where and
## by whom it was checked. If not, delete its lines. Codes that are not listed may have to be mapped
## too: read the whole survey. Then run: fhircryo mappings check FILE
"""
_VERIFIED = 'verified: ""'
# Characters that YAML does not allow in a file, and those that would end a comment.
_UNPRINTABLE = re.compile(
    "[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def quoted(text: str) -> str:
    """Return a text as a YAML scalar on one line, whatever characters it contains."""
    return _UNPRINTABLE.sub(
        lambda one: f"\\u{ord(one[0]):04x}", json.dumps(text, ensure_ascii=False)
    )


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


class OverlayDraft:
    """Drafts the overlay for one survey."""

    def __init__(self, survey: Survey, mappings: Mappings) -> None:
        self._survey = survey
        self._mappings = mappings
        self._forms = mappings.layers.forms.by_key
        self._form_of = {
            score.key: key
            for key, form in self._forms.items()
            for score in form.questionnaire.scores
        }
        # An overlay may hold a code or text only once.
        self._drafted: set[tuple[str, str]] = set()

    def text(self) -> str:
        """Return the content of the file."""
        sections = (
            _under("#concepts:", self._concepts()),
            _under("#units:", self._units()),
            _under("#grades:", self._grades()),
            _under("#instruments:", self._instruments()),
        )
        lines = [line for section in sections for line in section]
        if not lines:
            lines = ["", "## There is no candidate that is not mapped."]
        return _HEAD + "\n".join(lines) + "\n"

    def _first(self, system: str, code: str) -> bool:
        """Whether a code or text is not in the draft yet; it is marked as drafted."""
        new = (system, code) not in self._drafted
        self._drafted.add((system, code))
        return new

    # ------------------------------------------------------------------ concepts

    def _concepts(self) -> Lines:
        rows: dict[str, list[CodeRow]] = {}
        for row in self._survey.codes:
            if row.candidate is not None and row.candidate.of in CONCEPTS:
                rows.setdefault(row.candidate.of, []).append(row)
        for concept in CONCEPTS:
            lines: list[str] = []
            for name, texts in (("codes", False), ("texts", True)):
                of_kind = [row for row in rows.get(concept, ()) if bool(row.text) is texts]
                entries = (line for row in of_kind for line in self._meaning(row))
                lines += _under(f"#    {name}:", entries)
            yield from _under(f"#  {concept}:", lines)

    def _meaning(self, row: CodeRow) -> Lines:
        if not row.system and not row.text:
            yield f"##      {quoted(row.code)}: a code without a system cannot be mapped"
            return
        if not self._first(row.system, row.code or folded(row.text)):
            return
        yield f"##      {_counted(row)}"
        if row.candidate is not None and row.candidate.remark:
            yield f"##      {row.candidate.remark}"
        if row.text:
            yield f"#      - text: {quoted(row.text)}"
        else:
            yield f"#      - system: {quoted(row.system)}"
            yield f"#        code: {quoted(row.code)}"
            if row.display.strip():
                yield f"#        display: {quoted(row.display)}"
        if row.candidate is not None and row.candidate.status:
            yield f"#        status: [{', '.join(row.candidate.status)}]"
        yield from _conditions(row)
        if row.candidate is not None and row.candidate.of == "psa":
            without = sum(one.results for one in row.results if one.known is False and not one.unit)
            if without:
                words = f"{without} results state no unit; if it is always the same unit, add"
                yield f"##        {words} unit: ng/mL"
        yield f"#        {_VERIFIED}"

    # ------------------------------------------------------------------ units

    def _units(self) -> Lines:
        """The unknown units of results that are or may be PSA."""
        units: dict[str, str] = {}
        for row in self._survey.codes:
            for result in row.results:
                if result.known is False and result.unit not in ("", NOT_SHOWN):
                    units.setdefault(normal_unit(result.unit), result.unit)
        known: list[str] = []
        unknown: list[str] = []
        for unit in units.values():
            factor = self._factor(unit)
            if factor is None:
                unknown.append(f"##      {quoted(unit)}: how many ng/mL is one of it?")
            else:
                known.append("##      does the part after the unit make no difference?")
                known.append(f"#      {quoted(unit)}: {factor}")
        if known:
            yield from ("#  psa:", "#    factors:")
        yield from (*known, *unknown)

    def _factor(self, unit: str) -> Decimal | None:
        """The factor of the known unit with which a unit begins, if the rest is in brackets."""
        beginning = re.split(r"\s*[(\[{]", unit, maxsplit=1)[0]
        return self._mappings.units.get(normal_unit(beginning)) if beginning else None

    # ------------------------------------------------------------------ grades

    def _grades(self) -> Lines:
        places = self._survey.grades
        values = [value for place in places for value in place.values if value.candidate]
        lines: list[str] = []
        for scale in self._mappings.scales:
            mine = [one for one in values if one.candidate and one.candidate.of == scale]
            own = [*_under("#      codes:", self._grade_codes(mine))]
            own += _under("#      texts:", self._grade_texts(mine))
            own += self._extensions(scale, places)
            lines += _under(f"#    {scale}:", own)
        yield from _under("#  scales:", lines)

    def _grade_codes(self, values: Iterable[GradeRow]) -> Lines:
        for value in values:
            if value.code and value.system and self._first(value.system, f"grade {value.code}"):
                yield f"##        {value.place}, {value.resources} times {quoted(value.display)}"
                key = f"system: {quoted(value.system)}, code: {quoted(value.code)}"
                yield _grade_entry(value, value.code, key)

    def _grade_texts(self, values: Iterable[GradeRow]) -> Lines:
        for value in values:
            if value.text and self._first("", f"grade {folded(value.text)}"):
                yield f"##        {value.place}, {value.resources} times"
                yield _grade_entry(value, value.text, f"text: {quoted(value.text)}")

    def _extensions(self, scale: str, places: Iterable[PlaceRow]) -> Lines:
        urls = [
            place.place.removeprefix("extension ")
            for place in places
            if place.candidate is not None and place.candidate.of == scale
        ]
        yield from _under("#      extensions:", [f"#        - {quoted(url)}" for url in urls])

    # ------------------------------------------------------------------ instruments

    def _instruments(self) -> Lines:
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
            recorded.canonicals.append(row.canonical)
        elif fit.items:
            recorded.signatures.append(list(dict.fromkeys(fit.items.values())))
        known = {value[0] for value in _links(self._forms[key])}
        known |= {link for links in recorded.items.values() for link in links}
        for item, link in fit.items.items():
            if link not in known:
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
        yield from (f"##    {remark}" for remark in recorded.remarks)
        lines = []
        if recorded.canonicals:
            lines.append(f"#    canonicals: [{', '.join(map(quoted, recorded.canonicals))}]")
        if recorded.signatures:
            shown = (f"[{', '.join(map(quoted, links))}]" for links in recorded.signatures)
            lines.append(f"#    signatures: [{', '.join(shown)}]")
        items = [
            f"#      {quoted(item)}: {{link_ids: [{', '.join(map(quoted, links))}]}}"
            for item, links in recorded.items.items()
        ]
        lines += _under("#    items:", items)
        by_domain: list[str] = []
        for score, rows in recorded.observations.items():
            is_domain = bool(self._forms[key].questionnaire.domains)
            indent = " " * (8 if is_domain else 4)
            entries = [line for row in rows for line in self._score(row, indent)]
            own = list(_under(f"#{indent}observations:", entries))
            if is_domain:
                by_domain += _under(f"#      {score}:", own)
            else:
                lines += own
        lines += _under("#    domains:", by_domain)
        yield from _under(f"#  {key}:", lines)

    def _score(self, row: CodeRow, indent: str) -> Lines:
        if not row.system or not row.code:
            words = "only a code with a system can be mapped"
            yield f"##{indent}  {quoted(row.code or row.text)}: {words}"
            return
        if not self._first(row.system, row.code):
            return
        yield f"##{indent}  {_counted(row)}"
        if row.candidate is not None and row.candidate.remark:
            yield f"##{indent}  {row.candidate.remark}"
        yield (
            f"#{indent}  - {{system: {quoted(row.system)}, code: {quoted(row.code)}, {_VERIFIED}}}"
        )


def draft_overlay(survey: Survey, mappings: Mappings) -> str:
    """Return the draft of an overlay with all candidates of a survey."""
    return OverlayDraft(survey, mappings).text()


def _grade_entry(value: GradeRow, name: str, key: str) -> str:
    """The entry that maps a value to a grade, or the question which grade it is."""
    if value.candidate is None or not value.candidate.grade:
        remark = value.candidate.remark if value.candidate is not None else ""
        return f"##        {quoted(name)}: {remark}"
    return f'#        - {{{key}, grade: "{value.candidate.grade}", {_VERIFIED}}}'


def _under(heading: str, lines: Iterable[str]) -> Lines:
    """Lines with their heading; it is left out above lines that are all comments."""
    found = list(lines)
    if any(not line.startswith("##") for line in found):
        yield heading
    yield from found


def _counted(row: CodeRow) -> str:
    span = f", {'-'.join(dict.fromkeys(row.years))}" if row.years else ""
    name = f" {quoted(row.display)}" if row.display else ""
    return f"resources {row.resources}, patients {row.patients}{span}{name}"


def _conditions(row: CodeRow) -> Lines:
    """The values of other elements, with the condition to add if only some of them count."""
    for element, found in groupby(row.beside, lambda value: value.element):
        values = list(found)
        if element == "status" or (element == "category" and len(values) < 2):
            continue
        words = ", ".join(
            f"{quoted(one.text or f'{one.system}|{one.code}')} ({one.resources})" for one in values
        )
        first = values[0]
        shown = (
            f"{{text: {quoted(first.text)}}}"
            if first.text
            else f"{{system: {quoted(first.system)}, code: {quoted(first.code)}}}"
        )
        yield f"##        {element} is {words}; if only some count: {element}: [{shown}]"


def _links(form: Form) -> list[tuple[str | None, ...]]:
    return [fact.value for fact in form.facts if fact.what == "link_ids"]
