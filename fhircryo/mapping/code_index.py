"""Indexes the merged mappings by code and by text, and rejects contradictory entries."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fhircryo.errors import UsageError
from fhircryo.mapping.concepts import GRADINGS, SCORE
from fhircryo.mapping.locations import Location
from fhircryo.mapping.normalise import folded
from fhircryo.mapping.overlay_merge import MergedMappings, withdraws
from fhircryo.mapping.schema import (
    CONDITION_FIELDS,
    CodeRef,
    Meaning,
    TextRef,
)

SystemAndCode = tuple[str | None, str | None]
#: A value of an element: (system, code) of a coding, the folded form of a text, or a status.
Token = tuple[str, str] | str


class CodeCondition(NamedTuple):
    """A condition under which a code counts: an element must hold one of the accepted values."""

    element: str
    accepted: frozenset[Token]


class CodeEntry(NamedTuple):
    """The meaning of a code or text.

    ``label``: the name under which resources with this code are counted. ``conditions``: all must
    hold for the code to count. ``unit``: the unit of results that state none (empty: none). ``of``:
    the scale of a grading, or the instrument of a score. ``layer``: 0 for a shipped entry, else the
    number of the overlay.
    """

    concept: str
    label: str
    conditions: tuple[CodeCondition, ...] = ()
    unit: str = ""
    of: str = ""
    layer: int = 0


class CodePrefix(NamedTuple):
    """A code that also stands for every code that begins with it.

    Without entries it marks codes that an overlay has withdrawn.
    """

    system: str
    code: str
    entries: tuple[CodeEntry, ...]


class CodeIndex(NamedTuple):
    """The entries by system and code, by prefix (the longest first), and by folded text."""

    exact: dict[SystemAndCode, tuple[CodeEntry, ...]]
    prefixes: tuple[CodePrefix, ...]
    texts: dict[str, tuple[CodeEntry, ...]]


class _Claim(NamedTuple):
    """An entry, the code or folded text that it is for, and where it is defined."""

    key: tuple[str, str] | str
    entry: CodeEntry
    location: Location
    loc: str
    prefix: bool


def index_codes(merged: MergedMappings) -> CodeIndex:
    """Return the index of all codes and texts.

    Raises:
        UsageError: a code or text is mapped to two concepts, or twice to the same concept, and no
            condition distinguishes the two entries.
    """
    claims = list(_claims(merged))
    _check_same(claims)
    _check_descendants(claims, merged)
    exact: dict[SystemAndCode, tuple[CodeEntry, ...]] = {}
    prefixes: dict[tuple[str, str], tuple[CodeEntry, ...]] = {}
    texts: dict[str, tuple[CodeEntry, ...]] = {}
    for concept in merged.concepts.values():
        for code, _ in concept.withdrawn:
            pair = (code.system, code.code)
            exact.setdefault(pair, ())
            if code.descendants == "prefix":
                prefixes.setdefault(pair, ())
    for claim in claims:
        if isinstance(claim.key, str):
            texts[claim.key] = (*texts.get(claim.key, ()), claim.entry)
        elif claim.prefix:
            prefixes[claim.key] = (*prefixes.get(claim.key, ()), claim.entry)
        else:
            exact[claim.key] = (*exact.get(claim.key, ()), claim.entry)
    for pair, entries in prefixes.items():
        # A prefix covers the code itself as well.
        exact[pair] = (*exact.get(pair, ()), *entries)
    longest = sorted(prefixes.items(), key=lambda one: -len(one[0][1]))
    return CodeIndex(exact, tuple(CodePrefix(*pair, entries) for pair, entries in longest), texts)


def _claims(merged: MergedMappings) -> Iterator[_Claim]:
    for key, concept in merged.concepts.items():
        of = GRADINGS.get(key, "")
        for code, location in concept.codes:
            label = f"{code.system}|{code.code}"
            prefix = code.descendants == "prefix"
            entry = _entry(key, label, code, of, location)
            yield _Claim((code.system, code.code), entry, location, f"concepts.{key}", prefix)
        for text, location in concept.texts:
            entry = _entry(key, f"text: {text.text}", text, of, location)
            yield _Claim(folded(text.text), entry, location, f"concepts.{key}", prefix=False)
    for form in merged.questionnaires.by_key.values():
        for score in form.questionnaire.scores:
            part = score.key if form.questionnaire.domains else ""
            for (system, code_), location in form.declared(part, "observations"):
                entry = CodeEntry(SCORE, f"{system}|{code_}", of=score.key, layer=location.layer)
                pair = (system or "", code_ or "")
                yield _Claim(pair, entry, location, f"instruments.{score.key}", prefix=False)


def _entry(concept: str, label: str, meaning: Meaning, of: str, location: Location) -> CodeEntry:
    conditions = tuple(
        CodeCondition(element, frozenset(map(_token, getattr(meaning, element))))
        for element in CONDITION_FIELDS
        if getattr(meaning, element)
    )
    return CodeEntry(concept, label, conditions, meaning.unit or "", of, location.layer)


def _token(value: CodeRef | TextRef | str) -> Token:
    if isinstance(value, CodeRef):
        return (value.system, value.code)
    return folded(value.text) if isinstance(value, TextRef) else value


def _check_same(claims: Iterable[_Claim]) -> None:
    """Raise a UsageError if two entries for the same code or text contradict each other."""
    seen: dict[tuple[str, str] | str, list[_Claim]] = {}
    for claim in claims:
        for other in seen.get(claim.key, ()):
            if _contradict(claim.entry, other.entry):
                raise _already_defined(claim, other)
        seen.setdefault(claim.key, []).append(claim)


def _check_descendants(claims: list[_Claim], merged: MergedMappings) -> None:
    """Raise a UsageError if a code is covered by a prefix that gives it another meaning."""
    for other in claims:
        if not other.prefix or isinstance(other.key, str):
            continue
        withdrawn = merged.concepts[other.entry.concept].withdrawn
        for claim in claims:
            if (
                isinstance(claim.key, tuple)
                and claim is not other
                and claim.key[0] == other.key[0]
                and claim.key[1].startswith(other.key[1])
                and not any(withdraws(one.value, *claim.key) for one in withdrawn)
                and _contradicts_prefix(claim.entry, other.entry)
            ):
                raise _already_defined(claim, other)


def _contradicts_prefix(one: CodeEntry, prefix: CodeEntry) -> bool:
    """Return whether a code contradicts a prefix that covers it.

    It does if it means another concept in a case that both cover, or if it sets conditions on a
    meaning that the prefix gives it unconditionally.
    """
    if one.concept == prefix.concept:
        return bool(one.conditions) and not prefix.conditions
    return not _exclusive(one, prefix)


def _contradict(one: CodeEntry, other: CodeEntry) -> bool:
    """Return whether two entries for one code contradict or duplicate each other."""
    if _exclusive(one, other):
        return False
    if (one.concept, one.of, one.unit) != (other.concept, other.of, other.unit):
        return True
    return not (one.conditions and other.conditions) or one.conditions == other.conditions


def _exclusive(one: CodeEntry, other: CodeEntry) -> bool:
    """Return whether the conditions of the two entries exclude each other.

    They do if both have a condition on the same element and no value is accepted by both.
    """
    accepted = dict(other.conditions)
    return any(
        condition.element in accepted and condition.accepted.isdisjoint(accepted[condition.element])
        for condition in one.conditions
    )


def _already_defined(claim: _Claim, other: _Claim) -> UsageError:
    # The message starts with the later definition: that is the one to correct.
    if (other.location.layer, other.location.file, other.location.line) > (
        claim.location.layer,
        claim.location.file,
        claim.location.line,
    ):
        claim, other = other, claim
    words = f"{claim.location}: {claim.loc}: {claim.entry.label} is already defined at"
    words += f" {other.location}: {other.loc}"
    if claim.location.layer > other.location.layer:
        words += ": withdraw it there first, or leave it out here"
    elif claim.loc != other.loc:
        words += ": it can have only one of these meanings"
    return UsageError(words)
