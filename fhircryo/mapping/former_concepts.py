"""Reads the two concepts of version 0.1 that ``progression-finding`` replaced.

``disease-status`` held codes of Observations, and ``disease-worsened`` the values that state
progression. Every code of the one with every value of the other is an entry of
``progression-finding``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhircryo.mapping.code_systems import CodeSystems
from fhircryo.mapping.locations import Layer, Located
from fhircryo.mapping.overlay import ConceptAddition
from fhircryo.mapping.repeats import repeats
from fhircryo.mapping.schema import (
    CodeRef,
    ConceptCode,
    ConceptText,
    Meaning,
    TextRef,
)
from fhircryo.mapping.tokens import Token, token

STATUS, WORSENED = "disease-status", "disease-worsened"
FORMER_CONCEPTS = (STATUS, WORSENED)
PROGRESSION = "progression-finding"

#: The only code that version 0.1 shipped for ``disease-status``.
_SHIPPED = ("http://loinc.org", "97509-4")

Entry = ConceptCode | ConceptText


@dataclass
class FormerConcepts:
    """The entries of the two concepts, of all layers.

    ``made``: the entries of ``progression-finding`` that they give.
    """

    statuses: list[Located[Entry]] = field(default_factory=list)
    worsened: list[Located[Entry]] = field(default_factory=list)
    made: list[Located[Entry]] = field(default_factory=list)

    def begin(self, shipped: Iterable[Located[ConceptCode]]) -> None:
        """Take over the shipped entries that version 0.1 had as well."""
        for code, location in shipped:
            if (code.system, code.code) != _SHIPPED:
                continue
            self.made.append(Located(code, location))
            self.statuses.append(Located(code, location))
            for value in code.value:
                fields = value.model_dump() | {"verified": code.verified}
                kind = ConceptCode if isinstance(value, CodeRef) else ConceptText
                self.worsened.append(Located(kind.model_validate(fields), location))

    def forget(self, standing: Iterable[Meaning]) -> None:
        """Leave out what an overlay has withdrawn from ``progression-finding`` by now."""
        left = list(standing)
        gone = {token(value) for value, _ in self.made if value not in left}
        self.statuses = [one for one in self.statuses if token(one.value) not in gone]

    def change(
        self, layer: Layer, concepts: Mapping[str, ConceptAddition], systems: CodeSystems
    ) -> None:
        """Apply an overlay's changes to the two concepts.

        Raises:
            UsageError: something is withdrawn that is not there, or a value is a prefix.
        """
        for key, known in ((STATUS, self.statuses), (WORSENED, self.worsened)):
            _change(layer, key, concepts.get(key, ConceptAddition()), known, systems)

    def make(self, stated: Mapping[Token, set[Token]]) -> None:
        """Make the entries of ``progression-finding``.

        ``stated``: the values that a code or text has by the concepts of today, which decide.
        """
        self.made = [one for status in self.statuses for one in self._of_status(status, stated)]

    def _of_status(
        self, status: Located[Entry], stated: Mapping[Token, set[Token]]
    ) -> Iterator[Located[Entry]]:
        """Yield a code or text of the status with the values, one entry for each layer."""
        taken = stated.get(token(status.value), set())
        layers: dict[int, list[Located[Entry]]] = {}
        for one in self.worsened:
            if token(one.value) not in taken:
                later = max(one.location.layer, status.location.layer)
                layers.setdefault(later, []).append(one)
        for layer, values in layers.items():
            location = status.location if status.location.layer == layer else values[0].location
            listed = tuple(_reference(value) for value, _ in values)
            yield Located(status.value.model_copy(update={"value": listed}), location)

    def told(self, layer: Layer, concepts: Iterable[str]) -> str:
        """Return what an overlay should say instead of the concepts that it has."""
        keys = [key for key in FORMER_CONCEPTS if key in concepts]
        own = [entry for entry, location in self.made if location.layer == layer.number]
        listed: dict[str, list[str]] = {"codes": [], "texts": []}
        for entry in own:
            listed["codes" if isinstance(entry, ConceptCode) else "texts"].append(_written(entry))
        words = f"{layer.document.describe('concepts', keys[0])}: {' and '.join(keys)} of version"
        words += f" 0.1 still counts, as {PROGRESSION}"
        if not own:
            return words
        parts = [f"{name}: [{', '.join(ones)}]" for name, ones in listed.items() if ones]
        return f"{words}; write instead: {PROGRESSION}: {{{', '.join(parts)}}}"


def _change(
    layer: Layer,
    key: str,
    addition: ConceptAddition,
    known: list[Located[Entry]],
    systems: CodeSystems,
) -> None:
    """Apply an overlay's changes to one of the concepts; what is known already is left out."""
    if addition.withdraw == "all":
        known.clear()
    else:
        for number, gone in enumerate(addition.withdraw):
            kept = [one for one in known if token(one.value) != token(gone)]
            if len(kept) == len(known):
                words = f"{gone.system}|{gone.code}: {key} has no such code to withdraw"
                raise layer.error(("concepts", key, "withdraw", number), words)
            known[:] = kept
    for number, code in enumerate(addition.codes):
        if key == WORSENED and code.descendants:
            words = "a value is compared as a whole: list each code"
            raise layer.error(("concepts", key, "codes", number, "descendants"), words)
    codes = systems.expanded(layer.located(("concepts", key, "codes"), addition.codes))
    added: list[Located[Entry]] = [Located(code, location) for code, location in codes]
    texts = layer.located(("concepts", key, "texts"), addition.texts)
    added += [Located(text, location) for text, location in texts]
    known += [one for one in added if not any(_repeats(one.value, old) for old, _ in known)]


def _repeats(new: Entry, old: Entry) -> bool:
    """Return whether two entries are the same, the values that a code has today left aside."""
    return token(new) == token(old) and repeats(new, old.model_copy(update={"value": ()}))


def _reference(entry: Entry) -> CodeRef | TextRef:
    if isinstance(entry, ConceptCode):
        return CodeRef(system=entry.system, code=entry.code)
    return TextRef(text=entry.text)


def _written(entry: Entry) -> str:
    """Return an entry as it would be written in an overlay."""
    fields: dict[str, Any] = entry.model_dump(exclude_defaults=True)
    first = {key: fields.pop(key) for key in ("system", "code", "text", "value") if key in fields}
    return json.dumps(first | fields, ensure_ascii=False)
