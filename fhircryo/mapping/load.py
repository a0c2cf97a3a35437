"""Loads the shipped mappings with a site's overlays, and protocols by name or file."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from fhircryo.errors import UsageError
from fhircryo.mapping.code_index import CodeEntry, CodeIndex, SystemAndCode, index_codes
from fhircryo.mapping.complication_kinds import ComplicationKinds, index_kinds
from fhircryo.mapping.concepts import SCORE
from fhircryo.mapping.grade_index import GradeEntry, GradeIndex, index_grades
from fhircryo.mapping.grade_schema import (
    GradesFile,
    Scale,
)
from fhircryo.mapping.instrument_schema import (
    Instrument,
    InstrumentFile,
)
from fhircryo.mapping.locations import Layer
from fhircryo.mapping.overlay import OverlayFile
from fhircryo.mapping.overlay_keys import (
    OverlayKey,
    QuestionnaireKeys,
    defining_layers,
    index_overlay_keys,
    index_questionnaire_keys,
)
from fhircryo.mapping.overlay_merge import MergedMappings
from fhircryo.mapping.protocol import Protocol
from fhircryo.mapping.protocol_copy import check_own_id
from fhircryo.mapping.questionnaire_index import Signature, index_questionnaires
from fhircryo.mapping.schema import (
    CodeRef,
    Concept,
    ConceptsFile,
    ConceptText,
    KindsFile,
    UnitsFile,
)
from fhircryo.mapping.status_schema import (
    Statuses,
    StatusesFile,
)
from fhircryo.mapping.yamlfile import Document, read_document, validate, with_base
from fhircryo.settings import DEFAULT_BASE, DEFAULT_PROTOCOL
from fhircryo.storage.shipped_files import shipped

ModelT = TypeVar("ModelT", bound=BaseModel)


class Overlay(NamedTuple):
    """An overlay of a run; ``can_be_met``: it defines something that can occur in a source."""

    name: str
    can_be_met: bool


@dataclass(frozen=True)
class Mappings:
    """The merged mappings of one run, indexed for reading.

    ``index``: the entries by code, prefix and folded text. ``grade_index``: the grades by code,
    text and name. ``complication_kinds``: the kinds of complications. ``extensions``: the scale by
    the URL of an extension that states a grade (empty: any scale). ``units``: the factor to ng/mL
    by normalised spelling. ``volume_units``: likewise, to mL. ``canonicals``, ``signatures``: the
    instruments by questionnaire. ``overlay_keys``, ``questionnaire_keys``: what overlays define,
    see :mod:`fhircryo.mapping.overlay_keys`.
    ``sha256``: the digest of all files read. ``merged``: the entries with their locations.
    """

    base: str
    concepts: dict[str, Concept]
    index: CodeIndex
    statuses: Statuses
    units: dict[str, Decimal]
    volume_units: dict[str, Decimal]
    scales: dict[str, Scale]
    grade_index: GradeIndex
    complication_kinds: ComplicationKinds
    extensions: dict[str, str]
    instruments: tuple[Instrument, ...]
    canonicals: dict[str, tuple[Instrument, ...]]
    signatures: tuple[Signature, ...]
    overlay_keys: dict[OverlayKey, int]
    questionnaire_keys: dict[int, QuestionnaireKeys]
    detection_limit: str | None
    overlays: tuple[Overlay, ...]
    files: tuple[str, ...]
    sha256: str
    merged: MergedMappings

    @property
    def codes(self) -> dict[SystemAndCode, tuple[CodeEntry, ...]]:
        """The entries of whole codes, by system and code in their normal form."""
        return self.index.exact

    @property
    def texts(self) -> dict[str, tuple[CodeEntry, ...]]:
        """The entries by folded text."""
        return self.index.texts

    @property
    def grades(self) -> dict[SystemAndCode, GradeEntry]:
        """The grades by system and code."""
        return self.grade_index.codes

    def normal_code(self, system: str | None, code: str) -> str:
        """Return a code in the form in which codes of its system are compared."""
        return self.index.systems.normal_code(system, code)

    def meanings(self, system: str | None, code: str | None) -> tuple[CodeEntry, ...]:
        """Return the entries of a code, of the longest prefix where it has none of its own.

        Conditions and values are not checked. One code can have meanings of several concepts that
        are read from different elements; the concept decides which applies.
        """
        return self.index.find(system, code)

    def contradicting(self, concept: str, codings: Sequence[tuple[str | None, str | None]]) -> str:
        """Return the first of the codings that says that a resource is not of the concept.

        That is a code of a system that the concept is contradicted by (LOINC for ``psa``), if the
        code is not of the concept and no code of the concept declares that it may stand beside it.

        Returns:
            ``system|code``; empty where nothing contradicts.
        """
        systems = self.concepts[concept].contradicted_by
        own = [entry for pair in codings for entry in self.meanings(*pair)]
        allowed = {pair for entry in own if entry.concept == concept for pair in entry.beside}
        for system, code in codings:
            if system not in systems or not code or (system, code) in allowed:
                continue
            if all(entry.concept != concept for entry in self.meanings(system, code)):
                return f"{system}|{code}"
        return ""

    def codes_of(self, concept: str) -> list[CodeRef]:
        """Return the codes of a concept; for questionnaire scores, those of all instruments."""
        if concept == SCORE:
            forms = self.merged.questionnaires.by_key.values()
            return [code for form in forms for code in form.questionnaire.codes]
        return list(self.concepts[concept].codes)

    def texts_of(self, concept: str) -> tuple[ConceptText, ...]:
        """Return the texts of a concept."""
        return () if concept == SCORE else self.concepts[concept].texts


class _Reader:
    """Reads mapping files and records their names and their joint digest."""

    def __init__(self, base: str) -> None:
        self.digest = hashlib.sha256()
        self.names: list[str] = []
        self._base = base

    def read(self, model: type[ModelT], path: Path, number: int = 0) -> tuple[Layer, ModelT]:
        """Return a file as a layer, and its validated content."""
        document = read_document(path)
        self.digest.update(path.read_bytes())
        self.names.append(path.name)
        # A file with comments only is validated as an empty mapping, which gives a clear message.
        content = with_base({} if document.content is None else document.content, self._base)
        document = Document(path, content, document.lines)
        return Layer(document, number), validate(model, content, document)


def load_mappings(overlays: Iterable[Path] = (), base: str = DEFAULT_BASE) -> Mappings:
    """Return the shipped mappings with ``overlays`` applied in order.

    ``base``: replaces ``{base}`` in canonical URLs.

    Raises:
        UsageError: a file is not valid, for example because of an unknown key, a code that is
            mapped twice or a code without a system. The message gives file, line and path.
    """
    folder = shipped("mappings")
    reader = _Reader(base)
    merged = MergedMappings()
    merged.add_concepts(*reader.read(ConceptsFile, folder / "concepts.yaml"))
    merged.add_statuses(*reader.read(StatusesFile, folder / "statuses.yaml"))
    merged.add_units(*reader.read(UnitsFile, folder / "units.yaml"))
    merged.add_grades(*reader.read(GradesFile, folder / "grades.yaml"))
    kinds = reader.read(KindsFile, folder / "complication-kinds.yaml")
    merged.kinds.add(*kinds, merged.systems)
    for path in sorted((folder / "instruments").glob("*.yaml")):
        layer, file = reader.read(InstrumentFile, path)
        merged.questionnaires.add(layer, file.instrument, ("instrument",))
    names: list[str] = []
    for number, path in enumerate(overlays, 1):
        layer, overlay = reader.read(OverlayFile, path, number)
        merged.apply_overlay(layer, overlay)
        names.append(path.name)
    defining = defining_layers(merged)
    known = [Overlay(name, number in defining) for number, name in enumerate(names, 1)]
    return _indexed(merged, base, reader, tuple(known))


def _indexed(
    merged: MergedMappings, base: str, reader: _Reader, overlays: tuple[Overlay, ...]
) -> Mappings:
    merged.check_units()
    forms = index_questionnaires(merged)
    return Mappings(
        base=base,
        concepts={key: concept.merged() for key, concept in merged.concepts.items()},
        index=index_codes(merged),
        statuses=merged.chosen_statuses(),
        units={unit: located.value[1] for unit, located in merged.units.items()},
        volume_units=merged.volume_units,
        scales={name: scale.scale for name, scale in merged.scales.items()},
        grade_index=index_grades(merged),
        complication_kinds=index_kinds(merged.kinds, merged.systems),
        extensions={url: scale for url, (scale, _) in merged.all_extensions().items()},
        instruments=forms.instruments,
        canonicals=forms.canonicals,
        signatures=forms.signatures,
        overlay_keys=index_overlay_keys(merged),
        questionnaire_keys=index_questionnaire_keys(merged),
        detection_limit=merged.detection_limit.value if merged.detection_limit else None,
        overlays=overlays,
        files=tuple(reader.names),
        sha256=reader.digest.hexdigest(),
        merged=merged,
    )


def load_protocol(name: str | Path | dict[str, Any] = DEFAULT_PROTOCOL) -> Protocol:
    """Return a protocol, given its shipped name, a YAML file, or its content.

    Raises:
        UsageError: there is no such protocol, it is not valid, or it has the id of a shipped
            protocol from which it differs (with file, line and path).
    """
    if isinstance(name, dict):
        return validate(Protocol, name, "protocol")
    document = read_document(find_protocol(name))
    protocol = validate(Protocol, document.content, document)
    for path in protocol_files():
        if path.stem == protocol.id and path != document.path:
            check_own_id(protocol, document, load_protocol(path))
    return protocol


def find_protocol(name: str | Path) -> Path:
    """Return the file of a protocol, given its shipped name or a path.

    Raises:
        UsageError: there is no such protocol.
    """
    path = Path(name)
    if isinstance(name, str) and path.suffix not in (".yaml", ".yml"):
        named = shipped("mappings") / "protocols" / f"{name}.yaml"
        if "/" not in name and named.exists():
            return named
        if not path.exists():
            known = ", ".join(sorted(file.stem for file in protocol_files()))
            raise UsageError(f"protocol {name!r}: no such file; the shipped protocols are: {known}")
    return path


def protocol_files() -> list[Path]:
    """Return the files of the shipped protocols."""
    return sorted((shipped("mappings") / "protocols").glob("*.yaml"))
