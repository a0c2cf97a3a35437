"""The merged mappings, indexed for reading: what a code, a text or a unit means."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fhircryo.errors import UsageError
from fhircryo.mapping.concepts import GRADINGS, SCORE
from fhircryo.mapping.layers import Layers, withdraws
from fhircryo.mapping.places import Place
from fhircryo.mapping.schema import (
    CONDITIONS,
    CodeRef,
    Meaning,
    TextRef,
)
from fhircryo.mapping.texts import folded

Pair = tuple[str | None, str | None]
#: A code as system and code, a text folded, a status as it is.
Token = tuple[str, str] | str


class Condition(NamedTuple):
    """An element that must hold one of some values."""

    element: str
    wanted: frozenset[Token]


class CodeEntry(NamedTuple):
    """What a code or text means: its concept, how it is counted, and when it counts.

    ``of``: the scale of a grading, the instrument of a score. ``unit``: of results that state none.
    ``layer``: 0 is shipped.
    """

    concept: str
    label: str
    conditions: tuple[Condition, ...] = ()
    unit: str = ""
    of: str = ""
    layer: int = 0


class Prefix(NamedTuple):
    """A code whose descendants begin with it; without entries where they were withdrawn."""

    system: str
    code: str
    entries: tuple[CodeEntry, ...]


class Codes(NamedTuple):
    """The index: by system and code, by prefix (the longest first), by folded text."""

    exact: dict[Pair, tuple[CodeEntry, ...]]
    prefixes: tuple[Prefix, ...]
    texts: dict[str, tuple[CodeEntry, ...]]


class _Claim(NamedTuple):
    """An entry that lays claim to a code or text."""

    key: tuple[str, str] | str
    entry: CodeEntry
    place: Place
    loc: str
    prefix: bool


def index_codes(layers: Layers) -> Codes:
    """Index all codes and texts.

    Raises:
        UsageError: a code is mapped to two concepts, or twice to one, and nothing tells them apart.
    """
    claims = list(_claims(layers))
    _check_same(claims)
    _check_descendants(claims, layers)
    exact: dict[Pair, tuple[CodeEntry, ...]] = {}
    prefixes: dict[tuple[str, str], tuple[CodeEntry, ...]] = {}
    texts: dict[str, tuple[CodeEntry, ...]] = {}
    for concept in layers.concepts.values():
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
        # The code itself counts as its descendants do.
        exact[pair] = (*exact.get(pair, ()), *entries)
    longest = sorted(prefixes.items(), key=lambda one: -len(one[0][1]))
    return Codes(exact, tuple(Prefix(*pair, entries) for pair, entries in longest), texts)


def _claims(layers: Layers) -> Iterator[_Claim]:
    for key, concept in layers.concepts.items():
        of = GRADINGS.get(key, "")
        for code, place in concept.codes:
            label = f"{code.system}|{code.code}"
            prefix = code.descendants == "prefix"
            entry = _entry(key, label, code, of, place)
            yield _Claim((code.system, code.code), entry, place, f"concepts.{key}", prefix)
        for text, place in concept.texts:
            entry = _entry(key, f"text: {text.text}", text, of, place)
            yield _Claim(folded(text.text), entry, place, f"concepts.{key}", prefix=False)
    for form in layers.forms.by_key.values():
        for score in form.questionnaire.scores:
            part = score.key if form.questionnaire.domains else ""
            for (system, code_), place in form.said(part, "observations"):
                entry = CodeEntry(SCORE, f"{system}|{code_}", of=score.key, layer=place.layer)
                pair = (system or "", code_ or "")
                yield _Claim(pair, entry, place, f"instruments.{score.key}", prefix=False)


def _entry(concept: str, label: str, meaning: Meaning, of: str, place: Place) -> CodeEntry:
    conditions = tuple(
        Condition(element, frozenset(map(_token, getattr(meaning, element))))
        for element in CONDITIONS
        if getattr(meaning, element)
    )
    return CodeEntry(concept, label, conditions, meaning.unit or "", of, place.layer)


def _token(value: CodeRef | TextRef | str) -> Token:
    if isinstance(value, CodeRef):
        return (value.system, value.code)
    return folded(value.text) if isinstance(value, TextRef) else value


def _check_same(claims: Iterable[_Claim]) -> None:
    """Raise the error of two claims to one code or text that contradict each other."""
    seen: dict[tuple[str, str] | str, list[_Claim]] = {}
    for claim in claims:
        for other in seen.get(claim.key, ()):
            if _clash(claim.entry, other.entry):
                raise _error(claim, other)
        seen.setdefault(claim.key, []).append(claim)


def _check_descendants(claims: list[_Claim], layers: Layers) -> None:
    """Raise the error of a code that a prefix maps already, and to something else."""
    for other in claims:
        if not other.prefix or isinstance(other.key, str):
            continue
        withdrawn = layers.concepts[other.entry.concept].withdrawn
        for claim in claims:
            if (
                isinstance(claim.key, tuple)
                and claim is not other
                and claim.key[0] == other.key[0]
                and claim.key[1].startswith(other.key[1])
                and not any(withdraws(one.value, *claim.key) for one in withdrawn)
                and _differs(claim.entry, other.entry)
            ):
                raise _error(claim, other)


def _differs(one: CodeEntry, prefix: CodeEntry) -> bool:
    """Whether a code means something else than a prefix that covers it, or the same less often."""
    if one.concept == prefix.concept:
        return bool(one.conditions) and not prefix.conditions
    return not _apart(one, prefix)


def _clash(one: CodeEntry, other: CodeEntry) -> bool:
    """Whether two entries of one code contradict each other, or say the same twice."""
    if _apart(one, other):
        return False
    if (one.concept, one.of, one.unit) != (other.concept, other.of, other.unit):
        return True
    return not (one.conditions and other.conditions) or one.conditions == other.conditions


def _apart(one: CodeEntry, other: CodeEntry) -> bool:
    """Whether some element must differ where the one and where the other counts."""
    wanted = dict(other.conditions)
    return any(
        condition.element in wanted and condition.wanted.isdisjoint(wanted[condition.element])
        for condition in one.conditions
    )


def _error(claim: _Claim, other: _Claim) -> UsageError:
    # The one that was laid over the other is to be mended.
    if (other.place.layer, other.place.file, other.place.line) > (
        claim.place.layer,
        claim.place.file,
        claim.place.line,
    ):
        claim, other = other, claim
    named = claim.entry.label
    words = f"{claim.place}: {claim.loc}: {named} stands already at {other.place}: {other.loc}"
    if claim.place.layer > other.place.layer:
        words += ": withdraw it there first, or leave it out here"
    elif claim.loc != other.loc:
        words += ": it can mean one of them only"
    return UsageError(words)
