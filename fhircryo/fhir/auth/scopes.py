"""SMART scopes: what a command needs, as a server wants it written, and what it was granted.

Source: https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

#: By resource type, what is done with it: the letters of ``cruds``, in this order.
Needs = Mapping[str, str]

#: How scopes are written: ``system/Observation.read`` or ``system/Observation.rs``.
Version = Literal["v1", "v2"]

_LETTERS = "cruds"
_ANY = "*"
#: What the two scopes of the first version stand for.
_FIRST = {"read": "rs", "write": "cud", _ANY: _LETTERS}


class Granted(NamedTuple):
    """A granted scope: a type (or ``*``) and the letters of what may be done with it."""

    kind: str
    letters: str


def scopes_for(needs: Needs, version: Version) -> tuple[str, ...]:
    """The scopes to ask for, in the order of the types' names."""
    found: list[str] = []
    for kind, letters in sorted(needs.items()):
        if version == "v2":
            found.append(f"system/{kind}.{''.join(one for one in _LETTERS if one in letters)}")
            continue
        for word in ("read", "write"):
            if not set(letters).isdisjoint(_FIRST[word]):
                found.append(f"system/{kind}.{word}")
    return tuple(found)


def missing(needs: Needs, granted: Iterable[str]) -> dict[str, str]:
    """What is needed and was not granted, by type."""
    may = [one for one in map(parse, granted) if one is not None]
    found = {}
    for kind, letters in sorted(needs.items()):
        allowed = {one for scope in may if scope.kind in (_ANY, kind) for one in scope.letters}
        lacking = "".join(one for one in letters if one not in allowed)
        if lacking:
            found[kind] = lacking
    return found


def parse(scope: str) -> Granted | None:
    """A scope of either version, its search parameters aside; None where it is another kind."""
    level, _, rest = scope.partition("/")
    kind, _, words = rest.partition("?")[0].partition(".")
    if level != "system" or not kind or not words:
        return None
    letters = _FIRST.get(words, words)
    return Granted(kind, letters) if set(letters) <= set(_LETTERS) else None


def version_of(capabilities: Iterable[str], supported: Iterable[str]) -> Version:
    """How a server wants scopes written, by what its SMART configuration lists.

    The second version unless only the first is known there.
    """
    stated = set(capabilities)
    if "permission-v2" in stated:
        return "v2"
    if "permission-v1" in stated:
        return "v1"
    words = {scope.partition("?")[0].rpartition(".")[2] for scope in supported if "/" in scope}
    first = not words.isdisjoint({"read", "write"})
    second = any(word and set(word) <= set(_LETTERS) for word in words)
    return "v1" if first and not second else "v2"
