"""Loads the shipped mappings with a site's overlays, and protocols by name or file."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from fhircryo.errors import UsageError
from fhircryo.mapping.code_index import CodeEntry, Pair, Prefix, index_codes
from fhircryo.mapping.concepts import SCORE
from fhircryo.mapping.form_index import Signature, index_forms
from fhircryo.mapping.grade_index import GradeEntry, index_grades
from fhircryo.mapping.layers import Layers
from fhircryo.mapping.marks import FormMarks, Mark, index_form_marks, index_marks
from fhircryo.mapping.overlay import OverlayFile
from fhircryo.mapping.places import Layer
from fhircryo.mapping.protocol import Protocol
from fhircryo.mapping.schema import (
    CodeRef,
    Concept,
    ConceptsFile,
    ConceptText,
    GradesFile,
    Instrument,
    InstrumentFile,
    Scale,
    Statuses,
    StatusesFile,
    UnitsFile,
)
from fhircryo.mapping.yamlfile import Document, read_document, validate, with_base
from fhircryo.settings import DEFAULT_BASE, DEFAULT_PROTOCOL
from fhircryo.storage.shipped_files import shipped

ModelT = TypeVar("ModelT", bound=BaseModel)


class Overlay(NamedTuple):
    """An overlay of a run; ``can_be_met``: it names something that a source may hold."""

    name: str
    can_be_met: bool


@dataclass(frozen=True)
class Mappings:
    """The merged mappings of one run, indexed for reading.

    ``codes``: (system, code) to its entries; ``texts``: likewise by folded text. ``grades`` and
    ``grade_texts``: likewise to scale and grade; ``extensions``: URL to its scale, empty for any.
    ``units``: normalised spelling to ng/mL, a decimal factor. ``marks``: the units, extensions and
    canonicals that overlays name, with the number of the overlay. ``sha256``: of all files read.
    """

    base: str
    concepts: dict[str, Concept]
    codes: dict[Pair, tuple[CodeEntry, ...]]
    prefixes: tuple[Prefix, ...]
    texts: dict[str, tuple[CodeEntry, ...]]
    statuses: Statuses
    units: dict[str, Decimal]
    scales: dict[str, Scale]
    grades: dict[Pair, GradeEntry]
    grade_texts: dict[str, GradeEntry]
    extensions: dict[str, str]
    instruments: tuple[Instrument, ...]
    canonicals: dict[str, tuple[Instrument, ...]]
    signatures: tuple[Signature, ...]
    marks: dict[Mark, int]
    form_marks: dict[int, FormMarks]
    detection_limit: str | None
    overlays: tuple[Overlay, ...]
    files: tuple[str, ...]
    sha256: str
    layers: Layers

    def codes_of(self, concept: str) -> list[CodeRef]:
        """The codes of a concept; of scores, those of all instruments."""
        if concept == SCORE:
            forms = self.layers.forms.by_key.values()
            return [code for form in forms for code in form.questionnaire.codes]
        return list(self.concepts[concept].codes)

    def texts_of(self, concept: str) -> tuple[ConceptText, ...]:
        """The texts of a concept."""
        return () if concept == SCORE else self.concepts[concept].texts


class _Reader:
    """Reads mapping files, and remembers which."""

    def __init__(self, base: str) -> None:
        self.digest = hashlib.sha256()
        self.names: list[str] = []
        self._base = base

    def read(self, model: type[ModelT], path: Path, number: int = 0) -> tuple[Layer, ModelT]:
        """A file as a layer, and as what it says."""
        document = read_document(path)
        self.digest.update(path.read_bytes())
        self.names.append(path.name)
        # A file of comments alone holds nothing, and is told so.
        content = with_base({} if document.content is None else document.content, self._base)
        document = Document(path, content, document.lines)
        return Layer(document, number), validate(model, content, document)


def load_mappings(overlays: Iterable[Path] = (), base: str = DEFAULT_BASE) -> Mappings:
    """The shipped mappings with ``overlays`` laid over them in order.

    Raises:
        UsageError: with file, line and path, for an unknown key, a code that stands twice, a code
            without system and whatever else the format does not allow.
    """
    folder = shipped("mappings")
    reader = _Reader(base)
    layers = Layers()
    layers.add_concepts(*reader.read(ConceptsFile, folder / "concepts.yaml"))
    layers.add_statuses(*reader.read(StatusesFile, folder / "statuses.yaml"))
    layers.add_units(*reader.read(UnitsFile, folder / "units.yaml"))
    layers.add_grades(*reader.read(GradesFile, folder / "grades.yaml"))
    for path in sorted((folder / "instruments").glob("*.yaml")):
        layer, file = reader.read(InstrumentFile, path)
        layers.forms.add(layer, file.instrument, ("instrument",))
    known: list[Overlay] = []
    for number, path in enumerate(overlays, 1):
        layer, overlay = reader.read(OverlayFile, path, number)
        layers.lay(layer, overlay)
        known.append(Overlay(path.name, overlay.can_be_met))
    return _indexed(layers, base, reader, tuple(known))


def _indexed(layers: Layers, base: str, reader: _Reader, overlays: tuple[Overlay, ...]) -> Mappings:
    layers.check_units()
    codes = index_codes(layers)
    grades, grade_texts = index_grades(layers)
    forms = index_forms(layers)
    return Mappings(
        base=base,
        concepts={key: concept.merged() for key, concept in layers.concepts.items()},
        codes=codes.exact,
        prefixes=codes.prefixes,
        texts=codes.texts,
        statuses=layers.chosen_statuses(),
        units={unit: placed.value[1] for unit, placed in layers.units.items()},
        scales={name: scale.scale for name, scale in layers.scales.items()},
        grades=grades,
        grade_texts=grade_texts,
        extensions={url: scale for url, (scale, _) in layers.all_extensions().items()},
        instruments=forms.instruments,
        canonicals=forms.canonicals,
        signatures=forms.signatures,
        marks=index_marks(layers),
        form_marks=index_form_marks(layers),
        detection_limit=layers.detection_limit.value if layers.detection_limit else None,
        overlays=overlays,
        files=tuple(reader.names),
        sha256=reader.digest.hexdigest(),
        layers=layers,
    )


def load_protocol(name: str | Path | dict[str, Any] = DEFAULT_PROTOCOL) -> Protocol:
    """A protocol by its shipped name, from a YAML file, or from content already read.

    Raises:
        UsageError: no such protocol, or the file is wrong (with file, line and path).
    """
    if isinstance(name, dict):
        return validate(Protocol, name, "protocol")
    document = read_document(find_protocol(name))
    return validate(Protocol, document.content, document)


def find_protocol(name: str | Path) -> Path:
    """The file of a protocol: a shipped name, or a path."""
    path = Path(name)
    if isinstance(name, str) and path.suffix not in (".yaml", ".yml"):
        named = shipped("mappings") / "protocols" / f"{name}.yaml"
        if "/" not in name and named.exists():
            return named
        if not path.exists():
            known = ", ".join(sorted(file.stem for file in protocol_files()))
            raise UsageError(f"protocol {name!r}: no such file, and shipped are: {known}")
    return path


def protocol_files() -> list[Path]:
    """The shipped protocols."""
    return sorted((shipped("mappings") / "protocols").glob("*.yaml"))
