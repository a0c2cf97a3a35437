"""Compares what was counted in a source with the mappings and the search words."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from fhircryo import __version__
from fhircryo.mapping.concepts import FINDINGS, GRADINGS
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.normalise import folded, normal_unit
from fhircryo.setup.survey.counts import (
    AS_NUMBER,
    AS_TEXT,
    MIN_SHOWN,
    NOT_SHOWN,
    CodeCounts,
    CodeKey,
    CodeOrText,
    NumberSample,
    ResultKind,
    SourceCounts,
    Value,
    shortened,
)
from fhircryo.setup.survey.grade_places import place_rows
from fhircryo.setup.survey.questionnaires import form_rows
from fhircryo.setup.survey.search_words import Description
from fhircryo.setup.survey.suggestions import Suggester, is_looked_for
from fhircryo.setup.survey.survey_json import (
    Candidate,
    CodeRow,
    OtherElementRow,
    ResultRow,
    Survey,
)

#: The number of different units, and of values of another element, that are shown of one code.
_MOST_SHOWN = 20
#: The beginning of the label of a text.
_TEXT = "text: "
#: The diagnosis itself, of which a code may state a recurrence by its clinical status.
_CANCER = "prostate-cancer"


class _RowKey(NamedTuple):
    """A code, or a text without a code, in an element of a resource type."""

    kind: str
    element: str
    system: str
    code: str
    text: str


class _RowCounts:
    """The counts of all resources that have one code, whatever other codes and texts they have."""

    def __init__(self) -> None:
        self.counts: list[CodeCounts] = []
        self.displays: Counter[str] = Counter()


def classify(counts: SourceCounts, mappings: Mappings, suggester: Suggester, source: str) -> Survey:
    """Return the survey of a source from its counts; ``source``: its name."""
    survey = Survey(
        fhircryo=__version__,
        source=source,
        sample=False,
        mappings=mappings.sha256,
        types=dict(sorted(counts.types.items())),
        patients=len(counts.patients),
        set_aside=dict(sorted(counts.set_aside.items())),
        unreadable=counts.unreadable,
    )
    for key, row_counts in _by_code(counts.codes).items():
        row = _row(key, row_counts, mappings, suggester)
        if key.text and row.patients < MIN_SHOWN and row.candidate is None and not row.mapped:
            # A text that few patients have may name one of them.
            hidden = survey.hidden_texts
            hidden[key.kind] = hidden.get(key.kind, 0) + row.resources
        else:
            survey.codes.append(row)
    survey.codes.sort(key=lambda row: (row.resource, row.element, -row.resources, row.name))
    survey.grades = place_rows(counts.places, mappings, suggester)
    survey.forms = form_rows(counts.forms, mappings, suggester)
    return survey


def _by_code(counts: dict[CodeKey, CodeCounts]) -> dict[_RowKey, _RowCounts]:
    found: dict[_RowKey, _RowCounts] = {}
    for (kind, element, name), code_counts in counts.items():
        for key, display in _row_keys(kind, element, name).items():
            row_counts = found.setdefault(key, _RowCounts())
            row_counts.counts.append(code_counts)
            if display:
                row_counts.displays[display] += code_counts.count
    return found


def _row_keys(kind: str, element: str, name: CodeOrText) -> dict[_RowKey, str]:
    """The rows in which a resource counts, with the display of each code: a row for each coding."""
    if not name.codings:
        return {_RowKey(kind, element, "", "", name.text): ""}
    return {
        _RowKey(kind, element, system, code, ""): display for system, code, display in name.codings
    }


def _row(key: _RowKey, row_counts: _RowCounts, mappings: Mappings, suggester: Suggester) -> CodeRow:
    counts, displays = row_counts.counts, row_counts.displays
    label = f"{key.system}|{key.code}" if key.code else f"{_TEXT}{key.text}"
    years = sorted(year for one in counts for year in (one.first, one.last) if year)
    row = CodeRow(
        resource=key.kind,
        element=key.element,
        resources=sum(one.count for one in counts),
        patients=len(set().union(*(one.patients for one in counts))),
        system=key.system,
        code=key.code,
        text=key.text,
        display=max(displays, key=lambda text: (displays[text], text), default=""),
        years=[years[0], years[-1]] if years else [],
    )
    unmapped = _set_meanings(row, counts, label, mappings)
    entries = [
        entry
        for entry in mappings.meanings(key.system, key.code)
        if is_looked_for(key.kind, key.element, entry.concept)
    ]
    row.in_part = bool(row.code and unmapped and entries)
    row.beside = _other_elements(counts)
    is_known = bool(row.mapped or entries)
    if (unmapped and not is_known) or set(row.mapped) == {_CANCER}:
        texts = [one.text for one in counts] if key.code else [key.text]
        description = Description.of([*displays, *texts], key.system, key.code)
        row.candidate = _candidate(row, description, suggester, by_status=is_known)
        if not is_known:
            _add_stated(row, counts)
        if row.candidate is not None and not row.display and key.code:
            row.display = next(filter(None, texts), "")
    is_psa = "psa" in row.mapped or (row.candidate is not None and row.candidate.of == "psa")
    row.results = _results(counts, mappings, psa=is_psa)
    return row


def _set_meanings(
    row: CodeRow, counts: Iterable[CodeCounts], label: str, mappings: Mappings
) -> int:
    """Set how many resources are mapped by this code and by others; return how many are not."""
    mapped: Counter[str] = Counter()
    unmapped = 0
    for one in counts:
        for meanings, number in one.meanings.items():
            own = {
                meaning.name for meaning in meanings if _same_label(meaning.label, label, mappings)
            }
            if own:
                mapped.update(dict.fromkeys(own, number))
            elif meanings:
                row.by_other += number
            else:
                unmapped += number
    row.mapped = dict(sorted(mapped.items()))
    return unmapped


def _same_label(label: str, other: str, mappings: Mappings) -> bool:
    """Whether two labels are of the same code as it is compared, or of texts equal when folded."""
    if label == other:
        return True
    if other.startswith(_TEXT):
        return folded(label) == folded(other)
    pairs = (one.rpartition("|") for one in (label, other))
    own, its = ((system, mappings.normal_code(system, code)) for system, _, code in pairs)
    return own == its


def _candidate(
    row: CodeRow, description: Description, suggester: Suggester, *, by_status: bool
) -> Candidate | None:
    """The likeliest candidate; ``by_status``: only one that holds with some status."""
    statuses = {one.code or one.text for one in row.beside if one.element == "status"}
    for suggestion in suggester.suggestions(row.resource, row.element, description):
        if by_status and not suggestion.status:
            continue
        if not suggestion.status or not statuses.isdisjoint(suggestion.status):
            met = [status for status in suggestion.status if status in statuses]
            return Candidate(suggestion.name, suggestion.remark, status=met, kind=suggestion.kind)
    return None


def _add_stated(row: CodeRow, counts: Iterable[CodeCounts]) -> None:
    """Add the values that state the candidate, or make what the values state the candidate."""
    stated: dict[str, Counter[Value]] = {}
    for one in counts:
        for concept, values in one.stated.items():
            stated.setdefault(concept, Counter()).update(values)
    if row.candidate is None and stated:
        concept = max(stated, key=lambda name: (stated[name].total(), name))
        words = "are grades" if concept in GRADINGS else "may state it; is the code for that alone?"
        row.candidate = Candidate(concept, f"some of its values {words}")
    if row.candidate is not None and row.candidate.of in FINDINGS:
        values = stated.get(row.candidate.of, Counter())
        row.candidate.values = _value_rows("value", values)


def _other_elements(counts: Iterable[CodeCounts]) -> list[OtherElementRow]:
    found: dict[str, Counter[Value]] = {}
    for one in counts:
        for element, counted in one.other_elements.items():
            found.setdefault(element, Counter()).update(counted)
    return [
        row for element, values in sorted(found.items()) for row in _value_rows(element, values)
    ]


def _value_rows(element: str, counted: Counter[Value]) -> list[OtherElementRow]:
    """The most frequent values; of several displays of one code the most frequent is shown."""
    values: Counter[tuple[str, str, str]] = Counter()
    displays: dict[tuple[str, str, str], str] = {}
    for value, number in counted.most_common():
        if not any(value):
            continue
        if isinstance(value, str):
            # A text, or a status, which is a text without a code system.
            key = ("", "", shortened(value))
        else:
            key = (value[0], value[1], "")
            displays.setdefault(key, value[2] if len(value) > 2 else "")
        values[key] += number
    return [
        OtherElementRow(element, number, text, system, code, displays.get((system, code, text), ""))
        for (system, code, text), number in values.most_common(_MOST_SHOWN)
    ]


def _results(counts: Iterable[CodeCounts], mappings: Mappings, *, psa: bool) -> list[ResultRow]:
    """The kinds of results, the most frequent first; ``psa``: they are or may be PSA results."""
    merged: dict[ResultKind, NumberSample] = {}
    for one in counts:
        for kind, sample in one.results.items():
            merged.setdefault(kind, NumberSample()).merge(sample)
    shown: dict[ResultKind, NumberSample] = {}
    for kind, sample in merged.items():
        key = kind
        if kind.how == AS_TEXT and kind.unit and sample.of_few:
            # What follows the number in a text may be a unit or anything else.
            is_unit = normal_unit(kind.unit) in mappings.units
            key = kind if is_unit else ResultKind(AS_TEXT, NOT_SHOWN)
        shown.setdefault(key, NumberSample()).merge(sample)
    rows = []
    for kind, sample in sorted(shown.items(), key=lambda item: (-item[1].count, item[0])):
        known = None
        if psa and kind.how in (AS_NUMBER, AS_TEXT):
            known = normal_unit(kind.unit) in mappings.units if kind.unit else False
        quartiles = list(sample.quartiles())
        rows.append(ResultRow(kind.how, sample.count, kind.unit, known, quartiles))
    return rows[:_MOST_SHOWN]
