"""SMART scopes: those that a command needs, in the syntax of a server, and those granted.

Source: https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

#: By resource type, what a command does with it: letters of ``cruds`` (create, read, update,
#: delete, search), in this order.
Needs = Mapping[str, str]

#: The version of the scope syntax: ``system/Observation.read`` or ``system/Observation.rs``.
Version = Literal["v1", "v2"]

_LETTERS = "cruds"
_ANY = "*"
#: The permissions of version 1 as letters of version 2.
_VERSION_1 = {"read": "rs", "write": "cud", _ANY: _LETTERS}


class GrantedScope(NamedTuple):
    """A granted scope: a resource type (or ``*``) and the letters of what may be done with it."""

    kind: str
    letters: str


def scopes_for(needs: Needs, version: Version) -> tuple[str, ...]:
    """Return the scopes to request, sorted by resource type."""
    found: list[str] = []
    for kind, letters in sorted(needs.items()):
        if version == "v2":
            ordered = "".join(letter for letter in _LETTERS if letter in letters)
            found.append(f"system/{kind}.{ordered}")
            continue
        for word in ("read", "write"):
            if not set(letters).isdisjoint(_VERSION_1[word]):
                found.append(f"system/{kind}.{word}")
    return tuple(found)


def missing(needs: Needs, granted: Iterable[str]) -> dict[str, str]:
    """Return the needs that the granted scopes do not cover."""
    scopes = [scope for scope in map(parse, granted) if scope is not None]
    found = {}
    for kind, letters in sorted(needs.items()):
        allowed = set().union(*(scope.letters for scope in scopes if scope.kind in (_ANY, kind)))
        lacking = "".join(letter for letter in letters if letter not in allowed)
        if lacking:
            found[kind] = lacking
    return found


def parse(scope: str) -> GrantedScope | None:
    """Parse a system scope of either version, ignoring search parameters; None for other scopes."""
    level, _, rest = scope.partition("/")
    kind, _, words = rest.partition("?")[0].partition(".")
    if level != "system" or not kind or not words:
        return None
    letters = _VERSION_1.get(words, words)
    return GrantedScope(kind, letters) if set(letters) <= set(_LETTERS) else None


def scope_version(capabilities: Iterable[str], supported: Iterable[str]) -> Version:
    """Return the version of the scope syntax that a server expects.

    ``capabilities`` and ``supported`` (scopes) are those of its SMART configuration. Version 2,
    unless the configuration shows version 1 only.
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
