"""Drafts a site overlay with every candidate as a comment, for a person to decide.

A line that begins with one ``#`` becomes a line of the overlay once the ``#`` is removed. A line
that begins with ``##`` remains a comment.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from itertools import groupby

from fhircryo.mapping.concepts import CONCEPTS, FINDINGS, KINDS_OF
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.normalise import folded, normal_unit
from fhircryo.setup.survey.counts import NOT_SHOWN
from fhircryo.setup.survey.draft_lines import (
    VERIFIED,
    DraftedCodes,
    Lines,
    counted,
    quoted,
    under,
)
from fhircryo.setup.survey.instrument_draft import InstrumentDraft
from fhircryo.setup.survey.survey_json import Candidate, CodeRow, GradeRow, PlaceRow, Survey

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
            under("#concepts:", self._concepts()),
            under("#units:", self._units()),
            under("#grades:", self._grades()),
            under("#instruments:", instruments.lines()),
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
                lines += under(f"#    {name}:", entries)
            yield from under(f"#  {concept}:", lines)

    def _meaning(self, row: CodeRow) -> Lines:
        if not row.system and not row.text:
            yield f"##      {quoted(row.code)}: a code without a system cannot be mapped"
            return
        if not self._drafted.add(row.system, row.code or folded(row.text)):
            return
        yield f"##      {counted(row)}"
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
        if row.candidate is not None:
            yield from _required(row.candidate)
        yield from _conditions(row)
        if row.candidate is not None and row.candidate.of == "psa":
            without = sum(one.results for one in row.results if one.known is False and not one.unit)
            if without:
                words = f"{without} results state no unit; if it is always the same unit, add"
                yield f"##        {words} unit: ng/mL"
        yield f"#        {VERIFIED}"

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
            own = [*under("#      codes:", self._grade_codes(mine))]
            own += under("#      texts:", self._grade_texts(mine))
            own += self._extensions(scale, places)
            lines += under(f"#    {scale}:", own)
        yield from under("#  scales:", lines)

    def _grade_codes(self, values: Iterable[GradeRow]) -> Lines:
        for value in values:
            if (
                value.code
                and value.system
                and self._drafted.add(value.system, f"grade {value.code}")
            ):
                yield f"##        {value.place}, {value.resources} times {quoted(value.display)}"
                key = f"system: {quoted(value.system)}, code: {quoted(value.code)}"
                yield _grade_entry(value, value.code, key)

    def _grade_texts(self, values: Iterable[GradeRow]) -> Lines:
        for value in values:
            if value.text and self._drafted.add("", f"grade {folded(value.text)}"):
                yield f"##        {value.place}, {value.resources} times"
                yield _grade_entry(value, value.text, f"text: {quoted(value.text)}")

    def _extensions(self, scale: str, places: Iterable[PlaceRow]) -> Lines:
        urls = [
            place.place.removeprefix("extension ")
            for place in places
            if place.candidate is not None and place.candidate.of == scale
        ]
        yield from under("#      extensions:", [f"#        - {quoted(url)}" for url in urls])


def draft_overlay(survey: Survey, mappings: Mappings) -> str:
    """Return the draft of an overlay with all candidates of a survey."""
    return OverlayDraft(survey, mappings).text()


def _grade_entry(value: GradeRow, name: str, key: str) -> str:
    """The entry that maps a value to a grade, or the question which grade it is."""
    if value.candidate is None or not value.candidate.grade:
        remark = value.candidate.remark if value.candidate is not None else ""
        return f"##        {quoted(name)}: {remark}"
    return f'#        - {{{key}, grade: "{value.candidate.grade}", {VERIFIED}}}'


def _required(candidate: Candidate) -> Lines:
    """The fields that entries of the concept must have: a kind, or the values of a finding."""
    if candidate.of in KINDS_OF:
        yield f"##        kind is {', '.join(KINDS_OF[candidate.of])}"
        yield f"#        kind: {candidate.kind or KINDS_OF[candidate.of][-1]}"
    if candidate.of in FINDINGS:
        yield "##        the values that state the event; any_value: true if the code alone does"
        yield '#        value: [{text: "?"}]'


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
