"""Finds known codes that a source writes in another way.

A site may name a code system by an OID, by a name of its own or not at all, and may add a modifier
to a code (CPT ``55873-22``). The mappings compare system and code exactly; the survey asks.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from fhircryo.mapping.load import Mappings
from fhircryo.setup.survey.search_words import SearchWords, contains, plain

#: What stands before a modifier or an expression: of ``55873-22`` or ``26782000:363704007=...``.
_BASE = re.compile(r"([A-Z]?[0-9]{4,}[A-Z]?)[^A-Za-z0-9].*", re.DOTALL)
#: A code that hardly any other system has: a LOINC code, or one with five digits or more.
_UNMISTAKABLE = re.compile(r"[A-Z]{0,2}[0-9]{5,}[A-Z]?|[0-9]{1,5}-[0-9]")
_OF_ICD = re.compile(r"[A-Z][0-9]{2}(?:\.?[0-9]{1,2})?")
_OID = re.compile(r"(?:urn:oid:)?[0-2](?:\.[0-9]+){3,}")


class KnownCode(NamedTuple):
    """A code as the mappings have it, or may have it."""

    system: str
    code: str


class KnownCodes:
    """The code systems of the mappings, and the names under which sites write them."""

    def __init__(self, mappings: Mappings, words: SearchWords) -> None:
        self._names = words.systems
        index = mappings.index
        own = {system for system, _ in (*index.exact, *mappings.grades) if system}
        self._own = frozenset(own.union(index.prefix_lengths))

    def same(self, system: str, code: str) -> Iterator[KnownCode]:
        """Yield what the mappings may call a code, the likeliest first; never the code itself."""
        base = _BASE.fullmatch(code)
        forms = (code, base[1]) if base else (code,)
        if system in self._own:
            systems: list[str] = [system]
        else:
            words = plain(system)
            systems = [own for own, names in self._names.items() if contains(words, names)]
        if systems:
            found = (KnownCode(one, form) for form in forms for one in systems)
            yield from (one for one in found if one != (system, code))
            return
        opaque = not system or _OID.fullmatch(system) is not None
        for form in forms:
            if _UNMISTAKABLE.fullmatch(form) or (opaque and _OF_ICD.fullmatch(form)):
                yield from (KnownCode(one, form) for one in sorted(self._own))
