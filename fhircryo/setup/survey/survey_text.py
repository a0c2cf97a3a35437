"""A survey as text of at most 100 columns; what the source says is escaped."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from fhircryo.logs import escaped
from fhircryo.setup.survey.counts import AS_NUMBER, AS_TEXT
from fhircryo.setup.survey.survey_json import (
    Candidate,
    CodeRow,
    Fit,
    FormRow,
    PlaceRow,
    ResultRow,
    Survey,
)
from fhircryo.sources.resource_types import SURVEYED_TYPES

_WIDTH = 100
_NAME = 69
_MOST_OTHERS = 10
_MOST_VALUES = 4
_INDENT = "      "
# Elements that are shown only if their values differ.
_OFTEN_ONE = frozenset({"status", "category"})
#: Types whose resources are used whatever their code.
_ANY_CODE = frozenset({"AdverseEvent"})

Lines = Iterator[str]


def survey_lines(survey: Survey) -> Lines:
    """Return the lines of a survey."""
    total = sum(survey.types.values())
    counts = [f"{kind} {survey.types.get(kind, 0)}" for kind in SURVEYED_TYPES]
    of_others = total - sum(survey.types.get(kind, 0) for kind in SURVEYED_TYPES)
    of = f"{total} resources; the surveyed ones belong to {survey.patients} patients"
    yield from _wrapped(f"{survey.source}: {of}", "")
    yield from _wrapped(", ".join([*counts, f"others {of_others}"]), "  ")
    if survey.sample:
        yield from _sample(survey)
    for name, what in survey.unreadable_in.items():
        yield from _wrapped(f"UNREADABLE: {name}: {what}", "  ")
    for name in survey.passed_over:
        yield f"  not read: {escaped(name)}"
    for what, number in survey.set_aside.items():
        yield f"  not surveyed: {number} ({what})"
    candidates = [row for row in survey.codes if row.candidate is not None]
    mapped = [row for row in survey.codes if row.candidate is None and row.mapped]
    others = [row for row in survey.codes if row.candidate is None and not row.mapped]
    yield from _codes("CANDIDATES THAT ARE NOT MAPPED: a person must decide", candidates)
    yield from _codes("MAPPED", mapped)
    yield from _forms(survey.forms)
    yield from _places(survey.grades)
    yield from _others(others, survey.hidden_texts)


def _sample(survey: Survey) -> Lines:
    read = sum(search.pages for search in survey.searches)
    yield (
        f"  A SAMPLE: {len(survey.searches)} searches, {read} pages, {survey.requests} requests;"
        " the server may hold more"
    )
    for search in survey.searches:
        if search.refused:
            yield from _wrapped(f"refused: {search.asked}: {search.refused}", "    ")
            continue
        of = f" of {search.total}" if search.total is not None else ""
        more = "all" if search.all else f"the first {search.pages} pages"
        yield from _wrapped(f"{search.asked}: {search.resources}{of}, {more}", "    ")


def _heading(words: str) -> Lines:
    yield ""
    yield f"{words:<{_NAME + 2}} {'resources':>9} {'patients':>8} {'years':>9}".rstrip()


def _line(name: str, resources: int, patients: int, years: list[str]) -> str:
    shown = escaped(name)
    if len(shown) > _NAME:
        # The end is kept because it distinguishes the codes of one system.
        shown = f"{shown[: _NAME // 2 - 3]}...{shown[-_NAME // 2 :]}"
    span = "-".join(dict.fromkeys(years))
    return f"  {shown:<{_NAME}} {resources:>9} {patients:>8} {span:>9}".rstrip()


def _wrapped(text: str, indent: str = _INDENT) -> Lines:
    """A long text on several lines, escaped, and broken at spaces."""
    line = indent
    for word in escaped(text).split(" "):
        if len(line) + len(word) > _WIDTH and line.strip():
            yield line.rstrip()
            line = indent + "  "
        while len(line) + len(word) > _WIDTH:
            room = _WIDTH - len(line)
            yield line + word[:room]
            word, line = word[room:], indent + "  "
        line += f"{word} "
    yield line.rstrip()


def _codes(heading: str, rows: list[CodeRow]) -> Lines:
    if not rows:
        return
    yield from _heading(heading)
    for (kind, element), found in groupby(rows, lambda row: (row.resource, row.element)):
        yield f" {kind}.{element}"
        for row in found:
            yield _line(row.name, row.resources, row.patients, row.years)
            yield from _wrapped(_meaning(row))
            if row.results:
                yield from _wrapped(f"results: {'; '.join(map(_result, row.results))}")
            yield from _other_elements(row)


def _meaning(row: CodeRow) -> str:
    parts = [f"{row.display!r}:"] if row.display else []
    if row.candidate is not None:
        parts.append(_candidate_text(row.candidate))
    for meaning, number in row.mapped.items():
        of = "" if number == row.resources else f" ({number} of {row.resources})"
        parts.append(f"{meaning}{of}")
    if row.in_part:
        parts.append("under conditions")
    return " ".join(parts)


def _candidate_text(candidate: Candidate) -> str:
    grade = f" {candidate.grade}" if candidate.grade else ""
    remark = f" ({candidate.remark})" if candidate.remark else ""
    return f"{candidate.of}{grade}?{remark}"


def _result(row: ResultRow) -> str:
    words = row.how
    if row.how in (AS_NUMBER, AS_TEXT):
        words += f" in {row.unit!r}" if row.unit else " without unit"
        words += " (unit not known)" if row.known is False and row.unit else ""
    words += f": {row.results}"
    if row.quartiles:
        words += f", quartiles {' '.join(f'{number:f}' for number in row.quartiles)}"
    return words


def _other_elements(row: CodeRow) -> Lines:
    for element, found in groupby(row.beside, lambda one: one.element):
        values = list(found)
        if element in _OFTEN_ONE and len(values) == 1:
            continue
        words = [
            f"{one.name!r}{f' ({one.display!r})' if one.display else ''} {one.resources}"
            for one in values[:_MOST_VALUES]
        ]
        more = f", {len(values) - _MOST_VALUES} more" if len(values) > _MOST_VALUES else ""
        yield from _wrapped(f"{element} {', '.join(words)}{more}")


def _forms(rows: list[FormRow]) -> Lines:
    if rows:
        yield from _heading("QUESTIONNAIRES")
    for row in rows:
        yield _line(row.canonical or "(none named)", row.responses, row.patients, row.years)
        if row.known_as:
            yield f"{_INDENT}known as {', '.join(row.known_as)}"
        for candidate in row.candidates:
            yield from _wrapped(_candidate_text(candidate))
        for fit in row.fits:
            yield from _wrapped(_fit(fit))
        names = [f"{link.link_id} ({', '.join(link.answers) or 'no answer'})" for link in row.links]
        more = f", {len(names) - _MOST_OTHERS} more" if len(names) > _MOST_OTHERS else ""
        yield from _wrapped(f"linkIds {', '.join(names[:_MOST_OTHERS])}{more}")


def _fit(fit: Fit) -> str:
    words = f"{fit.questionnaire}: {len(fit.items)} of {fit.needed} items"
    if fit.by_likeness:
        words += f", {len(fit.by_likeness)} by similar linkIds"
    for number, what in (
        (fit.allowed, "answers allowed"),
        (fit.other, "answers NOT allowed"),
        (fit.scored, "coded answers with a score"),
        (fit.unscored, "coded answers without a score"),
    ):
        words += f"; {number} {what}" if number else ""
    return words


def _places(rows: list[PlaceRow]) -> Lines:
    if rows:
        yield from _heading("PLACES OF GRADES")
    for row in rows:
        yield _line(row.place, row.resources, row.patients, [])
        if not row.read:
            maybe = f": {_candidate_text(row.candidate)}" if row.candidate is not None else ""
            yield from _wrapped(f"not read{maybe}")
        for one in row.values:
            name = f"{one.system}|{one.code}" if one.code else repr(one.text)
            known = f"{one.scale} {one.grade}" if one.grade else ""
            meaning = _candidate_text(one.candidate) if one.candidate is not None else known
            yield from _wrapped(f"{name} {one.resources}: {meaning}")
        if row.others:
            yield f"{_INDENT}{row.others} values that are not grades"


def _others(rows: Iterable[CodeRow], hidden: dict[str, int]) -> Lines:
    for (kind, element), found in groupby(rows, lambda row: (row.resource, row.element)):
        listed = list(found)
        more = f", the {_MOST_OTHERS} most frequent" if len(listed) > _MOST_OTHERS else ""
        used = kind in _ANY_CODE and element == "code"
        words = "USED WHATEVER THE CODE" if used else "NOT MAPPED"
        yield from _heading(f"{words}: {kind}.{element}, {len(listed)} different{more}")
        for row in listed[:_MOST_OTHERS]:
            yield _line(row.name, row.resources, row.patients, row.years)
            words = f"{row.display!r}" if row.display else ""
            by_other = f"{row.by_other} mapped by another code" if row.by_other else ""
            if words or by_other:
                yield from _wrapped("; ".join(filter(None, (words, by_other))))
    if hidden:
        yield ""
    for kind, number in hidden.items():
        yield f"Not shown: {number} {kind} resources without a code, whose text few patients have"
