"""The kinds of complications, such as fistula, and the codes and texts that mean them."""

from dataclasses import dataclass, field
from typing import NamedTuple

from fhircryo.errors import UsageError
from fhircryo.mapping.code_systems import CodeSystems
from fhircryo.mapping.locations import Layer, Located, Location
from fhircryo.mapping.normalise import folded
from fhircryo.mapping.overlay import KindAddition, WithdrawnCode
from fhircryo.mapping.schema import (
    KindsFile,
    KindText,
    ListedCode,
)
from fhircryo.mapping.yamlfile import Loc, nearest

_SECTION = "complication_kinds"


@dataclass
class MergedKind:
    """A kind with its codes and texts."""

    words: str
    codes: list[Located[ListedCode]] = field(default_factory=list)
    texts: list[Located[KindText]] = field(default_factory=list)


class KindEntry(NamedTuple):
    """The kind that a code or text means; ``layer``: 0 for a shipped entry, else the overlay."""

    kind: str
    layer: int


@dataclass
class MergedKinds:
    """The shipped kinds with all overlays applied."""

    kinds: dict[str, MergedKind] = field(default_factory=dict)

    def add(self, layer: Layer, file: KindsFile, systems: CodeSystems) -> None:
        """Add the shipped kinds."""
        for key, kind in file.complication_kinds.items():
            self.kinds[key] = MergedKind(kind.words)
            codes = layer.located((_SECTION, key, "codes"), kind.codes)
            self.kinds[key].codes += systems.expanded(codes)

    def change(self, layer: Layer, key: str, addition: KindAddition, systems: CodeSystems) -> None:
        """Apply an overlay's changes to a kind, or add its own.

        Raises:
            UsageError: a new kind has no words, or something that does not exist is withdrawn.
        """
        loc: Loc = (_SECTION, key)
        if key not in self.kinds:
            if addition.words is None:
                words = f"there is no such kind{nearest(key, self.kinds)}; a new one needs words"
                raise layer.error(loc, words)
            self.kinds[key] = MergedKind(addition.words)
        kind = self.kinds[key]
        for number, given in enumerate(addition.withdraw):
            for system in systems.of(given.system):
                code = given.model_copy(update={"system": system})
                _withdraw(layer, (*loc, "withdraw", number), kind, code, systems)
        kind.codes += systems.expanded(layer.located((*loc, "codes"), addition.codes))
        kind.texts += layer.located((*loc, "texts"), addition.texts)


def _withdraw(
    layer: Layer, loc: Loc, kind: MergedKind, code: WithdrawnCode, systems: CodeSystems
) -> None:
    kept = [
        one for one in kind.codes if not systems.withdraws(code, one.value.system, one.value.code)
    ]
    if len(kept) == len(kind.codes):
        raise layer.error(loc, f"{code.system}|{code.code}: there is no such code to withdraw")
    kind.codes[:] = kept


class ComplicationKinds(NamedTuple):
    """The kinds, with their words, in the order in which they are shown; and their codes and texts.

    ``codes``, ``prefixes``: by system and code in its normal form. ``texts``: by folded text.
    """

    words: dict[str, str]
    codes: dict[tuple[str, str], KindEntry]
    prefixes: dict[tuple[str, str], KindEntry]
    texts: dict[str, KindEntry]
    systems: CodeSystems

    def find(self, system: str | None, code: str | None) -> KindEntry | None:
        """Return the kind of a code; of several prefixes the longest decides."""
        if not system or not code:
            return None
        normal = self.systems.normal_code(system, code)
        if (system, normal) in self.codes:
            return self.codes[system, normal]
        for end in range(len(normal), 0, -1):
            if (system, normal[:end]) in self.prefixes:
                return self.prefixes[system, normal[:end]]
        return None

    def find_text(self, text: str) -> KindEntry | None:
        """Return the kind of a text, compared without regard to case and white space."""
        return self.texts.get(folded(text))


def index_kinds(merged: MergedKinds, systems: CodeSystems) -> ComplicationKinds:
    """Return the index of all kinds.

    Raises:
        UsageError: a code or text is defined twice.
    """
    codes: dict[tuple[str, str], KindEntry] = {}
    prefixes: dict[tuple[str, str], KindEntry] = {}
    texts: dict[str, KindEntry] = {}
    seen: dict[tuple[str, ...], Location] = {}
    # In order of the layers: the later one of two places that contradict each other is at fault.
    found: list[tuple[Located[ListedCode] | Located[KindText], str]] = []
    for key, kind in merged.kinds.items():
        found += [(one, key) for one in kind.codes]
        found += [(one, key) for one in kind.texts]
    for (value, location), key in sorted(found, key=lambda one: one[0].location.layer):
        entry = KindEntry(key, location.layer)
        if isinstance(value, KindText):
            words = folded(value.text)
            _once(seen, (words,), repr(value.text), location)
            texts[words] = entry
        else:
            pair = (value.system, systems.normal_code(value.system, value.code))
            _once(seen, pair, f"{value.system}|{value.code}", location)
            (prefixes if value.descendants else codes)[pair] = entry
    names = {key: kind.words for key, kind in merged.kinds.items()}
    return ComplicationKinds(names, codes, prefixes, texts, systems)


def _once(
    seen: dict[tuple[str, ...], Location], key: tuple[str, ...], what: str, location: Location
) -> None:
    if key in seen:
        raise UsageError(f"{location}: {_SECTION}: {what} is already defined at {seen[key]}")
    seen[key] = location
