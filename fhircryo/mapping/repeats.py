"""Entries of an overlay that earlier layers state already.

What a later version ships, a site may have mapped before. Such entries are left out, so that an
overlay stays valid when the shipped mappings grow.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping

from fhircryo.mapping.code_systems import CodeSystems
from fhircryo.mapping.concepts import CONCEPTS, SPLIT_FROM
from fhircryo.mapping.locations import Located, T
from fhircryo.mapping.normalise import folded
from fhircryo.mapping.overlay import WithdrawnCode
from fhircryo.mapping.schema import (
    CONDITION_FIELDS,
    ConceptCode,
    ConceptText,
    Meaning,
)
from fhircryo.mapping.tokens import token


def repeats(new: Meaning, old: Meaning) -> bool:
    """Return whether an entry for a code or text says nothing that another does not say.

    A kind that is left out is that of the other. Of conditions and values the other may accept
    more.
    """
    return (
        new.kind in (None, old.kind)
        and (new.unit, new.any_value) == (old.unit, old.any_value)
        and new.names_prostate <= old.names_prostate
        and {*map(token, new.beside)} <= {*map(token, old.beside)}
        and all(
            bool(getattr(new, name)) == bool(getattr(old, name))
            and {*map(token, getattr(new, name))} <= {*map(token, getattr(old, name))}
            for name in (*CONDITION_FIELDS, "value")
        )
    )


def new_texts(
    texts: Iterable[Located[ConceptText]], known: Iterable[Located[ConceptText]]
) -> list[Located[ConceptText]]:
    """Return the texts of a layer that the ones known from earlier layers do not state."""
    earlier: dict[str, list[ConceptText]] = {}
    for text, _ in known:
        earlier.setdefault(folded(text.text), []).append(text)
    return [
        one
        for one in texts
        if not any(repeats(one.value, old) for old in earlier.get(folded(one.value.text), ()))
    ]


def not_yet(
    entries: Iterable[Located[T]], known: Iterable[Located[T]], said: Callable[[T], Hashable]
) -> list[Located[T]]:
    """Return the entries of a layer of which the known ones do not say the same (``said``)."""
    earlier = {said(value) for value, _ in known}
    return [one for one in entries if said(one.value) not in earlier]


class KnownCodes:
    """The codes of all concepts that are read from the elements from which one concept is read."""

    def __init__(
        self,
        key: str,
        systems: CodeSystems,
        codes: Mapping[str, Iterable[Located[ConceptCode]]],
        withdrawn: Mapping[str, Iterable[Located[WithdrawnCode]]],
    ) -> None:
        elements = CONCEPTS[key].elements
        shared = [name for name in codes if CONCEPTS[name].elements & elements]
        #: The concept, and the one to which some of its codes of version 0.1 belong now.
        self._own = {key, SPLIT_FROM.get(key, key)}
        self._systems = systems
        self._withdrawn = [code for name in shared for code, _ in withdrawn[name]]
        self._codes: dict[tuple[str, str], list[tuple[str, ConceptCode]]] = {}
        for name in shared:
            for code, _ in codes[name]:
                pair = (code.system, systems.normal_code(code.system, code.code))
                self._codes.setdefault(pair, []).append((name, code))

    def states(self, new: ConceptCode) -> bool:
        """Return whether an entry repeats a known one, or is wholly covered by a known prefix."""
        if any(self._systems.withdraws(one, new.system, new.code) for one in self._withdrawn):
            return False
        normal = self._systems.normal_code(new.system, new.code)
        same = self._codes.get((new.system, normal), [])
        if any(
            name in self._own and new.descendants == old.descendants and repeats(new, old)
            for name, old in same
        ):
            return True
        if any(old.descendants is None for _, old in same):
            return False
        for end in range(len(normal), 0, -1):
            known = self._codes.get((new.system, normal[:end]), [])
            prefixes = [(name, old) for name, old in known if old.descendants]
            if prefixes:
                # The longest prefix decides. A condition would leave cases that it does not cover.
                return all(
                    name in self._own and not _limited(old) and repeats(new, old)
                    for name, old in prefixes
                )
        return False


def _limited(entry: Meaning) -> bool:
    """Return whether an entry counts only under conditions or with some values."""
    return any(getattr(entry, name) for name in (*CONDITION_FIELDS, "value"))
