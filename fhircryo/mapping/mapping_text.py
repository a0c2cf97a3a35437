"""Describes the merged mappings as text, each entry with the file and line that defines it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from fhircryo.errors import UsageError
from fhircryo.mapping.concepts import CONCEPTS
from fhircryo.mapping.instrument_schema import (
    WholeNumbers,
)
from fhircryo.mapping.locations import Located, Location
from fhircryo.mapping.overlay_merge import MergedMappings
from fhircryo.mapping.questionnaire_merge import Declaration, MergedQuestionnaire, shown
from fhircryo.mapping.schema import (
    CONDITION_FIELDS,
    CodeRef,
    ListedCode,
    Meaning,
    TextRef,
)
from fhircryo.mapping.yamlfile import nearest
from fhircryo.storage.shipped_files import shipped

_WIDTH = 78
#: The number of values of a condition that are shown.
_FEW = 3
Lines = Iterator[str]
ListedT = TypeVar("ListedT", bound=ListedCode)


def sections(merged: MergedMappings) -> dict[str, Callable[[], Lines]]:
    """Return the sections by name: concepts, scales, kinds, instruments, units and so on."""
    found: dict[str, Callable[[], Lines]] = {}
    for key in merged.concepts:
        found[key] = partial(_concept, key, merged)
    for key in merged.scales:
        found[key] = partial(_scale, key, merged)
    for key in merged.kinds.kinds:
        found[key] = partial(_kind, key, merged)
    for key, form in merged.questionnaires.by_key.items():
        found[key] = partial(_form, form)
    found["extensions"] = partial(_extensions, merged)
    found["units"] = partial(_units, merged)
    found["statuses"] = partial(_statuses, merged)
    found["protocol"] = partial(_protocol, merged)
    return found


def show(merged: MergedMappings, name: str | None = None) -> Lines:
    """Yield the lines of one section, or of all sections.

    Raises:
        UsageError: there is no section of this name.
    """
    known = sections(merged)
    if name is not None and name not in known:
        raise UsageError(f"{name}: nothing has this name{nearest(name, known)}")
    for section in known.values() if name is None else [known[name]]:
        yield from section()


def _line(words: str, location: Location) -> str:
    return f"  {words:<{_WIDTH}}  {_shown(location)}"


def _shown(location: Location) -> str:
    """Return a location: shipped files relative to ``mappings``, overlays as given by the user."""
    if location.layer:
        return str(location)
    return f"mappings/{Path(location.file).relative_to(shipped('mappings'))}:{location.line}"


def _concept(key: str, merged: MergedMappings) -> Lines:
    concept = merged.concepts[key]
    known = CONCEPTS[key]
    yield f"{key}: {concept.words} ({known.resource}.{known.element})"
    yield from _codes(concept.codes)
    for text, location in concept.texts:
        yield _line(_meaning(f"text {text.text!r}", text), location)
    for withdrawn, location in concept.withdrawn:
        star = "*" if withdrawn.descendants else ""
        yield _line(f"not {withdrawn.system}|{withdrawn.code}{star}", location)


def _codes(codes: Iterable[Located[ListedT]]) -> Lines:
    """Yield a line per code; the same code in several editions of a classification is one line."""
    editions: dict[tuple[Location, str], list[ListedT]] = {}
    for code, location in codes:
        editions.setdefault((location, code.code), []).append(code)
    for (location, _), listed in editions.items():
        first = listed[0]
        words = f"{first.system}|{first.code}{'*' if first.descendants else ''}"
        if isinstance(first, Meaning):
            words = _meaning(words, first)
        if len(listed) > 1:
            words += f" and in {len(listed) - 1} other systems"
        yield _line(words, location)


def _meaning(words: str, meaning: Meaning) -> str:
    for element in (*CONDITION_FIELDS, "value"):
        values = getattr(meaning, element)
        if values:
            words += f" with {element} {_listed(values)}"
    if meaning.any_value:
        words += " with any value"
    if meaning.kind:
        words += f" ({meaning.kind})"
    if meaning.names_prostate:
        words += ", names the prostate"
    if meaning.beside:
        words += f", also beside {_listed(meaning.beside)}"
    return f"{words} in {meaning.unit}" if meaning.unit else words


def _kind(key: str, merged: MergedMappings) -> Lines:
    kind = merged.kinds.kinds[key]
    yield f"{key}: {kind.words} (kind of complication)"
    yield from _codes(kind.codes)
    for text, location in kind.texts:
        yield _line(f"text {text.text!r}", location)


def _listed(values: Sequence[CodeRef | TextRef | str]) -> str:
    """Return the first values of a list, and the number of the others."""
    words = " or ".join(map(_value, values[:_FEW]))
    return f"{words} or {len(values) - _FEW} others" if len(values) > _FEW else words


def _value(value: CodeRef | TextRef | str) -> str:
    if isinstance(value, CodeRef):
        return f"{value.system}|{value.code}"
    return repr(value.text) if isinstance(value, TextRef) else value


def _scale(key: str, merged: MergedMappings) -> Lines:
    layered = merged.scales[key]
    yield f"{key}: {layered.scale.words}: {', '.join(layered.scale.order)}"
    yield _line(f"{layered.scale.system}|(the grade itself)", layered.location)
    for code, location in layered.codes:
        yield _line(f"{code.system}|{code.code} = {code.grade}", location)
    for text, location in layered.texts:
        yield _line(f"text {text.text!r} = {text.grade}", location)
    for url, location in layered.extensions:
        yield _line(f"extension {url}", location)


def _extensions(merged: MergedMappings) -> Lines:
    yield "extensions: AdverseEvent extensions that state a grade of any scale"
    for url, location in merged.extensions:
        yield _line(url, location)


def _form(form: MergedQuestionnaire) -> Lines:
    questionnaire = form.questionnaire
    yield f"{questionnaire.key}: {questionnaire.words}"
    for declaration, location in form.declarations.items():
        yield _line(f"{declaration.part} {_fact(declaration, form)}".strip(), location)
    for item in questionnaire.items:
        allowed = item.allowed
        numbers = (
            f"{allowed.minimum} to {allowed.maximum}"
            if isinstance(allowed, WholeNumbers)
            else ", ".join(map(str, allowed))
        )
        counts = f", counts as {', '.join(map(str, item.recode.values()))}" if item.recode else ""
        yield f"  {item.key}: {numbers}{counts}"
    for score in questionnaire.scores:
        yield (
            f"  {score.key}: {score.score.method} of {', '.join(score.items)};"
            f" at least {score.minimum_answered} answered; worse is {score.worse}"
        )
    for mark in questionnaire.marks:
        yield f"  {mark.key}: {mark.words}: {mark.value} for {' or '.join(mark.items)}"


def _fact(declaration: Declaration, form: MergedQuestionnaire) -> str:
    words = {
        "canonicals": "canonical",
        "signatures": "signature",
        "link_ids": "linkId",
        "answers": "answer",
        "observations": "Observation",
    }[declaration.field]
    words = f"{words} {shown(declaration)}"
    if declaration.field == "answers":
        item = next(item for item in form.questionnaire.items if item.key == declaration.part)
        score = next(
            one.score for one in item.answers if (one.system, one.code) == declaration.value
        )
        words += f" = {score}"
    return words


def _units(merged: MergedMappings) -> Lines:
    yield "units: units of PSA, in ng/mL"
    for (unit, factor), location in merged.units.values():
        yield _line(f"{unit} = {factor}", location)


def _statuses(merged: MergedMappings) -> Lines:
    yield "statuses: the statuses that count"
    chosen = merged.chosen_statuses()
    for name, location in merged.status_locations.items():
        yield _line(f"{name}: {', '.join(getattr(chosen, name))}", location)


def _protocol(merged: MergedMappings) -> Lines:
    yield "protocol: rules that replace those of the protocol"
    if merged.detection_limit is not None:
        value, location = merged.detection_limit
        yield _line(f"psa.detection_limit: {value}", location)
