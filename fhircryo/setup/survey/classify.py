"""What was counted, compared with the mappings and the words."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from fhircryo import __version__
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.normalise import folded, normal_unit
from fhircryo.setup.survey.grading_codes import place_rows
from fhircryo.setup.survey.questionnaires import form_rows
from fhircryo.setup.survey.search_words import Said
from fhircryo.setup.survey.suggest import Suggester
from fhircryo.setup.survey.survey_json import (
    Beside,
    Candidate,
    CodeRow,
    ResultRow,
    Survey,
)
from fhircryo.setup.survey.tally import (
    AS_NUMBER,
    AS_TEXT,
    FEW,
    NOT_SHOWN,
    Name,
    Result,
    Seen,
    SeenKey,
    Tally,
    Values,
    shortened,
)

#: Different units, and values of other elements, that are shown of one code.
_MOST_SHOWN = 20
#: How the labels of texts begin.
_TEXT = "text: "


class _Key(NamedTuple):
    kind: str
    element: str
    system: str
    code: str
    text: str


class _Merged:
    """All names that one code has."""

    def __init__(self) -> None:
        self.seen: list[tuple[Name, Seen]] = []
        self.displays: Counter[str] = Counter()


def judge(tally: Tally, mappings: Mappings, suggester: Suggester, source: str) -> Survey:
    """The survey of what was counted."""
    survey = Survey(
        fhircryo=__version__,
        source=source,
        sample=False,
        mappings=mappings.sha256,
        types=dict(sorted(tally.types.items())),
        patients=len(tally.patients),
        set_aside=dict(sorted(tally.set_aside.items())),
        unreadable=tally.unreadable,
    )
    for key, merged in _by_code(tally.seen).items():
        row = _row(key, merged, mappings, suggester)
        if key.text and row.patients < FEW and row.candidate is None and not row.mapped:
            # A text of few patients may name one of them.
            hidden = survey.hidden_texts
            hidden[key.kind] = hidden.get(key.kind, 0) + row.resources
        else:
            survey.codes.append(row)
    survey.codes.sort(key=lambda row: (row.resource, row.element, -row.resources, row.name))
    survey.grades = place_rows(tally.places, mappings, suggester)
    survey.forms = form_rows(tally.forms, mappings, suggester)
    return survey


def _by_code(seen: dict[SeenKey, Seen]) -> dict[_Key, _Merged]:
    found: dict[_Key, _Merged] = {}
    for (kind, element, name), one in seen.items():
        keys = {_Key(kind, element, system, code, ""): display for system, code, display in name[0]}
        if not name.codings:
            keys = {_Key(kind, element, "", "", name.text): ""}
        for key, display in keys.items():
            merged = found.setdefault(key, _Merged())
            merged.seen.append((name, one))
            if display:
                merged.displays[display] += one.count
    return found


def _row(key: _Key, merged: _Merged, mappings: Mappings, suggester: Suggester) -> CodeRow:
    seen = [one for _, one in merged.seen]
    label = f"{key.system}|{key.code}" if key.code else f"{_TEXT}{key.text}"
    years = sorted(year for one in seen for year in (one.first, one.last) if year)
    row = CodeRow(
        resource=key.kind,
        element=key.element,
        resources=sum(one.count for one in seen),
        patients=len(set().union(*(one.patients for one in seen))),
        system=key.system,
        code=key.code,
        text=key.text,
        display=max(merged.displays, key=lambda one: (merged.displays[one], one), default=""),
        years=[years[0], years[-1]] if years else [],
    )
    unmapped = _set_meanings(row, seen, label)
    entries = mappings.codes.get((key.system, key.code), ())
    row.in_part = bool(row.code and unmapped and entries)
    row.beside = _beside(seen)
    if unmapped and not entries and not row.mapped:
        texts = [one.text for one in seen] if key.code else [key.text]
        names = [*merged.displays, *texts]
        row.candidate = _candidate(row, Said.of(names, key.system, key.code), suggester)
        if row.candidate is not None and not row.display and key.code:
            row.display = next(filter(None, texts), "")
    is_psa = "psa" in row.mapped or (row.candidate is not None and row.candidate.of == "psa")
    row.results = _results(seen, mappings, psa=is_psa)
    return row


def _set_meanings(row: CodeRow, seen: Iterable[Seen], label: str) -> int:
    """Say what it means, by itself and by other codes; the number that means nothing."""
    mapped: Counter[str] = Counter()
    unmapped = 0
    for one in seen:
        for means, number in one.means.items():
            own = {meant.name for meant in means if _same(meant.label, label)}
            if own:
                mapped.update(dict.fromkeys(own, number))
            elif means:
                row.by_other += number
            else:
                unmapped += number
    row.mapped = dict(sorted(mapped.items()))
    return unmapped


def _same(one: str, other: str) -> bool:
    """Whether two labels are of one code, or of texts that are compared as one."""
    return one == other or (other.startswith(_TEXT) and folded(one) == folded(other))


def _candidate(row: CodeRow, said: Said, suggester: Suggester) -> Candidate | None:
    statuses = {one.code or one.text for one in row.beside if one.element == "status"}
    for suggestion in suggester.of(row.resource, row.element, said):
        if not suggestion.status or not statuses.isdisjoint(suggestion.status):
            met = [one for one in suggestion.status if one in statuses]
            return Candidate(suggestion.what, suggestion.remark, status=met)
    return None


def _beside(seen: Iterable[Seen]) -> list[Beside]:
    found: dict[str, Counter[tuple[str, str, str]]] = {}
    for one in seen:
        for element, counted in one.companions.items():
            values = found.setdefault(element, Counter())
            for token, number in counted.items():
                if not any(token):
                    continue
                # As a code, or as a text; a status is a text of its own.
                is_code = isinstance(token, tuple)
                text = "" if is_code else shortened(str(token))
                values[(*token, "") if is_code else ("", "", text)] += number
    rows = []
    for element, values in sorted(found.items()):
        for (system, code, text), number in values.most_common(_MOST_SHOWN):
            rows.append(Beside(element, number, text, system, code))
    return rows


def _results(seen: Iterable[Seen], mappings: Mappings, *, psa: bool) -> list[ResultRow]:
    """``psa``: they are, or may be, PSA."""
    merged: dict[Result, Values] = {}
    for one in seen:
        for result, values in one.results.items():
            merged.setdefault(result, Values()).merge(values)
    found: dict[Result, Values] = {}
    for result, values in merged.items():
        said = result
        if result.how == AS_TEXT and result.unit and values.of_few:
            # What stands behind a number in a text is a unit, or whatever somebody wrote.
            is_unit = normal_unit(result.unit) in mappings.units
            said = result if is_unit else Result(AS_TEXT, NOT_SHOWN)
        found.setdefault(said, Values()).merge(values)
    rows = []
    for result, values in sorted(found.items(), key=lambda one: (-one[1].count, one[0])):
        known = None
        if psa and result.how in (AS_NUMBER, AS_TEXT):
            known = normal_unit(result.unit) in mappings.units if result.unit else False
        quartiles = list(values.quartiles())
        rows.append(ResultRow(result.how, values.count, result.unit, known, quartiles))
    return rows[:_MOST_SHOWN]
