"""Drafts a site overlay with every candidate as a comment, for a person to decide.

A line that begins with one ``#`` becomes a line of the overlay once the ``#`` is removed. A line
that begins with ``##`` remains a comment.
"""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import groupby
from typing import Any

from fhircryo.mapping.concepts import CONCEPTS, FINDINGS, KINDS_OF
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.normalise import folded, normal_unit
from fhircryo.mapping.schema import CONDITION_FIELDS
from fhircryo.setup.survey.counts import NOT_SHOWN
from fhircryo.setup.survey.draft_lines import (
    DraftedCodes,
    Lines,
    OneLine,
    OneLineList,
    Word,
    counted,
    fields,
    is_mappable,
    proposal,
    quoted,
    remark,
    under,
)
from fhircryo.setup.survey.instrument_draft import InstrumentDraft
from fhircryo.setup.survey.survey_json import (
    Candidate,
    CodeRow,
    GradeRow,
    OtherElementRow,
    PlaceRow,
    Survey,
)

_HEAD = """\
## A draft of a site overlay: candidates that are not mapped yet. As long as they are comments, they
## have no effect. Ask the people who record a candidate: does it mean this and nothing else? If so,
## remove the # from its lines and from the headings above them, and write into `verified` where and
## by whom it was checked. If not, delete its lines. Codes that are not listed may have to be mapped
## too: read the whole survey. Then run: fhircryo mappings check FILE
"""


class OverlayDraft:
    """Drafts the overlay for one survey."""

    def __init__(self, survey: Survey, mappings: Mappings) -> None:
        self._survey = survey
        self._mappings = mappings
        self._drafted = DraftedCodes()

    def text(self) -> str:
        """Return the content of the file."""
        instruments = InstrumentDraft(self._survey, self._mappings, self._drafted)
        sections = (
            under("concepts", 0, self._concepts()),
            under("units", 0, self._units()),
            under("grades", 0, self._grades()),
            under("instruments", 0, instruments.lines()),
        )
        lines = [line for section in sections for line in section]
        if not lines:
            lines = ["", "## There is no candidate that is not mapped."]
        return _HEAD + "\n".join(lines) + "\n"

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
                lines += under(name, 4, entries)
            yield from under(concept, 2, lines)

    def _meaning(self, row: CodeRow) -> Lines:
        candidate = row.candidate
        if candidate is None:
            return
        if not row.system and not row.text:
            yield from remark(f"{quoted(row.code)}: a code without a system cannot be mapped", 6)
            return
        if not is_mappable(*([row.text] if row.text else [row.system, row.code])):
            words = "a code, system or text that begins or ends with a blank cannot be mapped"
            yield from remark(f"{quoted(row.code or row.text)}: {words}", 6)
            return
        code = self._mappings.normal_code(row.system, row.code)
        if not self._drafted.add(row.system, code or folded(row.text)):
            return
        yield from remark(counted(row), 6)
        for words in (candidate.remark, *_questions(candidate), *_conditions(row)):
            if words:
                yield from remark(words, 6)
        if candidate.of == "psa":
            without = sum(one.results for one in row.results if one.known is False and not one.unit)
            if without:
                words = f"{without} results state no unit; if it is always the same unit, add"
                yield from remark(f"{words} unit: ng/mL", 6)
        entry = fields(
            text=row.text or None,
            system=row.system or None,
            code=row.code or None,
            display=(row.display.strip() or None) if row.code else None,
            status=OneLineList(map(Word, candidate.status)) or None,
            **_required(candidate),
            verified="",
        )
        yield from proposal([entry], 6)

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
            if factor is None or not is_mappable(unit):
                unknown += remark(f"{quoted(unit)}: how many ng/mL is one of it?", 6)
            else:
                known += remark("does the part after the unit make no difference?", 6)
                known += proposal({unit: factor}, 6)
        yield from under("psa", 2, under("factors", 4, [*known, *unknown]))

    def _factor(self, unit: str) -> Decimal | None:
        """The factor of the known unit with which a unit begins, if the rest is in brackets."""
        beginning = re.split(r"[(\[{]", unit, maxsplit=1)[0].rstrip()
        return self._mappings.units.get(normal_unit(beginning)) if beginning else None

    # ------------------------------------------------------------------ grades

    def _grades(self) -> Lines:
        places = self._survey.grades
        values = [value for place in places for value in place.values if value.candidate]
        lines: list[str] = []
        for scale in self._mappings.scales:
            mine = [one for one in values if one.candidate and one.candidate.of == scale]
            own = [*under("codes", 6, self._grade_codes(mine))]
            own += under("texts", 6, self._grade_texts(mine))
            own += self._extensions(scale, places)
            lines += under(scale, 4, own)
        yield from under("scales", 2, lines)

    def _grade_codes(self, values: Iterable[GradeRow]) -> Lines:
        for value in values:
            if is_mappable(value.system, value.code) and self._drafted.add(
                value.system, f"grade {value.code}"
            ):
                name = f" {quoted(value.display)}" if value.display else ""
                yield from remark(f"{value.place}, {value.resources} times{name}", 8)
                yield from _grade_entry(value, fields(system=value.system, code=value.code))

    def _grade_texts(self, values: Iterable[GradeRow]) -> Lines:
        for value in values:
            if is_mappable(value.text) and self._drafted.add("", f"grade {folded(value.text)}"):
                yield from remark(f"{value.place}, {value.resources} times", 8)
                yield from _grade_entry(value, fields(text=value.text))

    def _extensions(self, scale: str, places: Iterable[PlaceRow]) -> Lines:
        urls = [
            place.place.removeprefix("extension ")
            for place in places
            if place.candidate is not None and place.candidate.of == scale
        ]
        found = [line for url in urls if is_mappable(url) for line in proposal([url], 8)]
        yield from under("extensions", 6, found)


def draft_overlay(survey: Survey, mappings: Mappings) -> str:
    """Return the draft of an overlay with all candidates of a survey."""
    return OverlayDraft(survey, mappings).text()


def _grade_entry(value: GradeRow, key: dict[str, Any]) -> Lines:
    """The entry that maps a value to a grade, or the question which grade it is."""
    candidate = value.candidate
    if candidate is None or not candidate.grade:
        words = candidate.remark if candidate is not None else ""
        yield from remark(f"{quoted(value.code or value.text)}: {words}", 8)
        return
    if candidate.remark:
        yield from remark(candidate.remark, 8)
    yield from proposal([OneLine(key | fields(grade=candidate.grade, verified=""))], 8)


def _required(candidate: Candidate) -> dict[str, Any]:
    """The fields that entries of the concept must have: a kind, or the values of a finding."""
    found: dict[str, Any] = {}
    if candidate.of in KINDS_OF:
        kind = candidate.kind or KINDS_OF[candidate.of][-1]
        found["kind"] = kind if kind.isdecimal() else Word(kind)
    if candidate.of in FINDINGS:
        values = [_value(one) for one in candidate.values if _is_value(one)]
        found["value"] = OneLineList(values or [OneLine(fields(text="?"))])
    return found


def _questions(candidate: Candidate) -> Iterator[str]:
    """What a person must decide about the required fields."""
    if candidate.of in KINDS_OF:
        yield f"kind is {', '.join(KINDS_OF[candidate.of])}"
    if candidate.of in FINDINGS:
        yield "value: only those that state the event; any_value: true if the code alone does"


def _conditions(row: CodeRow) -> Iterator[str]:
    """The values of other elements, with the condition to add if only some of them count."""
    for element, found in groupby(row.beside, lambda value: value.element):
        values = list(found)
        if element == "status" or (element == "category" and len(values) < 2):
            continue
        words = ", ".join(map(_counted_value, values))
        if element not in CONDITION_FIELDS:
            yield f"its values: {words}" if element == "value" else f"it {element}: {words}"
            continue
        first = values[0]
        named = {"text": first.text} if first.text else {"system": first.system, "code": first.code}
        shown = ", ".join(f"{name}: {quoted(text)}" for name, text in named.items())
        yield f"{element} is {words}; if only some count: {element}: [{{{shown}}}]"


def _counted_value(row: OtherElementRow) -> str:
    display = f" {quoted(row.display)}" if row.display else ""
    return f"{quoted(row.name)}{display} ({row.resources})"


def _is_value(row: OtherElementRow) -> bool:
    """Whether a value can be written as the value of a finding."""
    return is_mappable(row.text) if row.text else is_mappable(row.system, row.code)


def _value(row: OtherElementRow) -> OneLine:
    if row.text:
        return OneLine(fields(text=row.text))
    return OneLine(fields(system=row.system, code=row.code))
