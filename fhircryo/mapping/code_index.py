"""Indexes the merged mappings by code and by text, and rejects contradictory entries."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fhircryo.errors import UsageError
from fhircryo.mapping.code_systems import CodeSystems
from fhircryo.mapping.concepts import CONCEPTS, CONDITION_EVENTS, DEFAULT_KIND, GRADINGS, SCORE
from fhircryo.mapping.locations import Location
from fhircryo.mapping.normalise import folded
from fhircryo.mapping.overlay_merge import MergedMappings
from fhircryo.mapping.schema import (
    CONDITION_FIELDS,
    Meaning,
)
from fhircryo.mapping.tokens import Token, token

SystemAndCode = tuple[str | None, str | None]


class CodeCondition(NamedTuple):
    """A condition under which a code counts: an element must hold one of the accepted values."""

    element: str
    accepted: frozenset[Token]


class CodeEntry(NamedTuple):
    """The meaning of a code or text.

    ``label``: the name under which resources with this code are counted. ``conditions``: all must
    hold for the code to count. ``unit``: the unit of results that state none (empty: none). ``of``:
    the scale of a grading, or the instrument of a score. ``layer``: 0 for a shipped entry, else the
    number of the overlay. ``kind``: the kind of a therapy, or the modality of radiotherapy (empty
    for a therapy: that which the type of the resource suggests).
    ``values``: the values with which a finding counts (None: with any, and with none).
    ``names_prostate``: the code names the prostate as the primary. ``beside``: codes that may stand
    beside this one and do not contradict it.
    """

    concept: str
    label: str
    conditions: tuple[CodeCondition, ...] = ()
    unit: str = ""
    of: str = ""
    layer: int = 0
    kind: str = ""
    values: frozenset[Token] | None = None
    names_prostate: bool = False
    beside: frozenset[tuple[str, str]] = frozenset()


class CodeIndex(NamedTuple):
    """The entries by system and code, by system and prefix, and by folded text.

    Codes stand in their normal form. A code or prefix without entries is one that an overlay has
    withdrawn. ``prefix_lengths``: the lengths of the prefixes of each system that has any, the
    longest first.
    """

    exact: dict[SystemAndCode, tuple[CodeEntry, ...]]
    prefixes: dict[tuple[str, str], tuple[CodeEntry, ...]]
    texts: dict[str, tuple[CodeEntry, ...]]
    systems: CodeSystems
    prefix_lengths: dict[str, tuple[int, ...]]

    def find(self, system: str | None, code: str | None) -> tuple[CodeEntry, ...]:
        """Return the meanings of a code; those of the longest prefix where it has none of its own.

        The conditions of the entries are not checked.
        """
        if not code:
            return ()
        normal = self.systems.normal_code(system, code)
        entries = self.exact.get((system, normal))
        if entries is not None:
            return entries
        if system is not None:
            for end in self.prefix_lengths.get(system, ()):
                entries = self.prefixes.get((system, normal[:end])) if end < len(normal) else None
                if entries is not None:
                    label = f"{system}|{code}"
                    return tuple([entry._replace(label=label) for entry in entries])
        return ()


_SCORE_ELEMENTS = frozenset({"code"})


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
    layers = _Layers(claims, merged)
    texts: dict[str, tuple[CodeEntry, ...]] = {}
    for claim in claims:
        if isinstance(claim.key, str):
            texts[claim.key] = (*texts.get(claim.key, ()), claim.entry)
    prefixes = {key: layers.resolved(key, whole=False) for key in layers.prefix_keys()}
    return CodeIndex(
        # A prefix covers the code itself as well.
        {key: layers.resolved(key, whole=True) for key in layers.whole_keys()},
        prefixes,
        texts,
        merged.systems,
        _lengths(prefixes),
    )


def _lengths(prefixes: Iterable[tuple[str, str]]) -> dict[str, tuple[int, ...]]:
    """Return the lengths of the prefixes by system, the longest first."""
    found: dict[str, set[int]] = {}
    for system, prefix in prefixes:
        found.setdefault(system, set()).add(len(prefix))
    return {system: tuple(sorted(lengths, reverse=True)) for system, lengths in found.items()}


class _Layers:
    """The entries and withdrawals of whole codes and of prefixes, before the longest decides."""

    def __init__(self, claims: Iterable[_Claim], merged: MergedMappings) -> None:
        #: The labels of the codes as they are written in the mapping files.
        self._written: dict[tuple[str, str], str] = {}
        self._whole: dict[tuple[str, str], list[CodeEntry]] = {}
        self._prefix: dict[tuple[str, str], list[CodeEntry]] = {}
        #: The elements in which a withdrawn code, or prefix, has lost its meaning.
        self._lost: dict[tuple[str, str], set[str]] = {}
        self._lost_prefix: dict[tuple[str, str], set[str]] = {}
        for claim in claims:
            if isinstance(claim.key, tuple):
                entries = self._prefix if claim.prefix else self._whole
                entries.setdefault(claim.key, []).append(claim.entry)
                self._written.setdefault(claim.key, claim.entry.label)
        for name, concept in merged.concepts.items():
            for code, _ in concept.withdrawn:
                key = (code.system, merged.systems.normal_code(code.system, code.code))
                lost = self._lost_prefix if code.descendants else self._lost
                lost.setdefault(key, set()).update(CONCEPTS[name].elements)

    def whole_keys(self) -> set[tuple[str, str]]:
        """Return all codes and prefixes."""
        return {*self._whole, *self._prefix, *self._lost, *self._lost_prefix}

    def prefix_keys(self) -> set[tuple[str, str]]:
        """Return all prefixes."""
        return {*self._prefix, *self._lost_prefix}

    def resolved(self, key: tuple[str, str], *, whole: bool) -> tuple[CodeEntry, ...]:
        """Return the entries of a code or prefix: for each element those of the longest part.

        ``whole``: the entries for exactly this code count, too.
        """
        system, code = key
        label = self._written.get(key, f"{system}|{code}")
        found: list[CodeEntry] = []
        decided: set[str] = set()
        for end in range(len(code), 0, -1):
            part = (system, code[:end])
            entries = list(self._prefix.get(part, ()))
            lost = set(self._lost_prefix.get(part, ()))
            if whole and part == key:
                entries = [*self._whole.get(key, ()), *entries]
                lost |= self._lost.get(key, set())
            new = [entry for entry in entries if not decided & _elements(entry)]
            found += [entry._replace(label=label) for entry in new]
            # Where its conditions do not hold, a code has the meaning of the shorter prefix.
            certain = [entry for entry in entries if not entry.conditions]
            decided |= lost.union(*map(_elements, certain))
        return tuple(found)


def _elements(entry: CodeEntry) -> frozenset[str]:
    return _SCORE_ELEMENTS if entry.concept == SCORE else CONCEPTS[entry.concept].elements


def _claims(merged: MergedMappings) -> Iterator[_Claim]:
    for key, concept in merged.concepts.items():
        of = GRADINGS.get(key, "")
        for code, location in concept.codes:
            label = f"{code.system}|{code.code}"
            prefix = code.descendants == "prefix"
            entry = _entry(key, label, code, of, location)
            pair = (code.system, merged.systems.normal_code(code.system, code.code))
            yield _Claim(pair, entry, location, f"concepts.{key}", prefix)
        for text, location in concept.texts:
            entry = _entry(key, f"text: {text.text}", text, of, location)
            yield _Claim(folded(text.text), entry, location, f"concepts.{key}", prefix=False)
    for form in merged.questionnaires.by_key.values():
        for score in form.questionnaire.scores:
            part = score.key if form.questionnaire.domains else ""
            for (system, code_), location in form.declared(part, "observations"):
                entry = CodeEntry(SCORE, f"{system}|{code_}", of=score.key, layer=location.layer)
                own = (system or "", merged.systems.normal_code(system or "", code_ or ""))
                yield _Claim(own, entry, location, f"instruments.{score.key}", prefix=False)


def _entry(concept: str, label: str, meaning: Meaning, of: str, location: Location) -> CodeEntry:
    conditions = tuple(
        CodeCondition(element, frozenset(map(token, getattr(meaning, element))))
        for element in CONDITION_FIELDS
        if getattr(meaning, element)
    )
    return CodeEntry(
        concept,
        label,
        conditions,
        meaning.unit or "",
        of,
        location.layer,
        meaning.kind or DEFAULT_KIND.get(concept, ""),
        frozenset(map(token, meaning.value)) if meaning.value else None,
        meaning.names_prostate,
        frozenset((one.system, one.code) for one in meaning.beside),
    )


def _check_same(claims: Iterable[_Claim]) -> None:
    """Raise a UsageError if two entries for the same code or text contradict each other."""
    seen: dict[tuple[str, str] | str, list[_Claim]] = {}
    for claim in claims:
        for other in seen.get(claim.key, ()):
            if _contradict(claim.entry, other.entry):
                raise _already_defined(claim, other)
        seen.setdefault(claim.key, []).append(claim)


def _check_descendants(claims: list[_Claim], merged: MergedMappings) -> None:
    """Raise a UsageError if a code is covered by a prefix that gives it another meaning.

    Within one layer the longer prefix decides. Across layers the overlay must withdraw the code
    from the concept of the longest prefix first.
    """
    prefixes: dict[tuple[str, str], list[_Claim]] = {}
    for claim in claims:
        if claim.prefix and isinstance(claim.key, tuple):
            prefixes.setdefault(claim.key, []).append(claim)
    for claim in claims:
        if not isinstance(claim.key, tuple):
            continue
        for other in _longest_covering(claim, prefixes):
            withdrawn = merged.concepts[other.entry.concept].withdrawn
            if not any(
                merged.systems.withdraws(one.value, *claim.key) for one in withdrawn
            ) and _contradicts_prefix(claim, other):
                raise _already_defined(claim, other)


def _longest_covering(claim: _Claim, prefixes: dict[tuple[str, str], list[_Claim]]) -> list[_Claim]:
    """Return the claims of the longest prefix that covers the claim, in an element of it."""
    if isinstance(claim.key, str):
        return []
    system, code = claim.key
    for end in range(len(code), 0, -1):
        found = [
            other
            for other in prefixes.get((system, code[:end]), ())
            if other is not claim and _elements(other.entry) & _elements(claim.entry)
        ]
        if found:
            return found
    return []


def _contradicts_prefix(claim: _Claim, prefix: _Claim) -> bool:
    """Return whether a code contradicts a prefix that covers it.

    It does if it sets conditions on a meaning that the prefix gives it unconditionally, or if it
    means another concept in a case that both cover, unless one layer states both and the code is
    the longer.
    """
    one, other = claim.entry, prefix.entry
    if one.concept == other.concept:
        return bool(one.conditions) and not other.conditions
    nested = one.layer == other.layer and claim.key != prefix.key
    return not nested and not _compatible(one, other) and not _exclusive(one, other)


def _contradict(one: CodeEntry, other: CodeEntry) -> bool:
    """Return whether two entries for one code contradict or duplicate each other."""
    if _compatible(one, other) or not _elements(one) & _elements(other):
        return False
    if _exclusive(one, other):
        return False
    if (one.concept, one.of, one.unit, one.kind) != (
        other.concept,
        other.of,
        other.unit,
        other.kind,
    ):
        return True
    return not (one.conditions and other.conditions) or one.conditions == other.conditions


def _compatible(one: CodeEntry, other: CodeEntry) -> bool:
    """Return whether one is the cancer itself, and the other an event under conditions."""
    return any(
        cancer.concept == "prostate-cancer"
        and event.concept in CONDITION_EVENTS
        and bool(event.conditions)
        for cancer, event in ((one, other), (other, one))
    )


def _exclusive(one: CodeEntry, other: CodeEntry) -> bool:
    """Return whether the conditions of the two entries exclude each other.

    They do if both have a condition on the same element, or on the value of a finding, and nothing
    is accepted by both.
    """
    if one.values is not None and other.values is not None and one.values.isdisjoint(other.values):
        return True
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
