"""Loads the shipped mappings with a site's overlays, and protocols by name or file."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from fhircryo.data import shipped
from fhircryo.errors import UsageError
from fhircryo.mapping.protocol import Protocol
from fhircryo.mapping.schema import (
    CodeRef,
    Concept,
    ConceptsFile,
    Grades,
    GradesFile,
    Instrument,
    InstrumentFile,
    OverlayFile,
    Statuses,
    StatusesFile,
    UnitsFile,
)
from fhircryo.mapping.yamlfile import read_yaml, validate, with_base

DEFAULT_BASE = "https://w3id.org/fhircryo"
DEFAULT_PROTOCOL = "bomers-2020"

#: The concepts that the program knows what to do with.
CONCEPTS = frozenset(
    {
        "cryoablation",
        "procedure-unsuccessful",
        "psa",
        "psa-not-convertible",
        "psa-excluded",
        "disease-status",
        "disease-worsened",
        "metastasis",
        "local-recurrence",
        "clavien-dindo-grading",
        "salvage-therapy",
    }
)

#: The grading scales that endpoints are computed on.
SCALES = frozenset({"clavien-dindo", "sir-2003", "ctcae-grade"})


class CodeEntry(NamedTuple):
    """What a code means: its concept, how it is shown, and the body sites it must stand with."""

    concept: str
    label: str
    body_sites: frozenset[tuple[str, str]]


class Prefix(NamedTuple):
    """A code whose descendants begin with it."""

    system: str
    code: str
    entry: CodeEntry


@dataclass(frozen=True)
class Mappings:
    """The merged mappings of one run, indexed for reading.

    ``codes``: (system, code) to its entry. ``grades``: (system, code) to scale and grade.
    ``units``: normalised spelling to ng/mL, a decimal factor. ``sha256``: of all files read.
    """

    base: str
    concepts: dict[str, Concept]
    codes: dict[tuple[str | None, str | None], CodeEntry]
    prefixes: tuple[Prefix, ...]
    statuses: Statuses
    units: dict[str, Decimal]
    scales: Grades
    grades: dict[tuple[str | None, str | None], tuple[str, str]]
    instruments: tuple[Instrument, ...]
    canonicals: dict[str, tuple[Instrument, ...]]
    signatures: tuple[tuple[frozenset[str], Instrument], ...]
    files: tuple[str, ...]
    sha256: str


def load_mappings(overlays: Iterable[Path] = (), base: str = DEFAULT_BASE) -> Mappings:
    """The shipped mappings with ``overlays`` laid over them in order.

    Raises:
        UsageError: with file and path, for an unknown key, a code that stands twice, a code
            without system and whatever else the format does not allow.
    """
    folder = shipped("mappings")
    digest = hashlib.sha256()
    names: list[str] = []

    def read(path: Path) -> Any:
        content = read_yaml(path)
        digest.update(path.read_bytes())
        names.append(path.name)
        return with_base(content, base)

    def shipped_file(name: str) -> tuple[Path, Any]:
        path = folder / name
        return path, read(path)

    path, content = shipped_file("concepts.yaml")
    concepts = validate(ConceptsFile, content, path).concepts
    _same_concepts(path, concepts)
    sources = {key: [path] * len(concept.codes) for key, concept in concepts.items()}
    path, content = shipped_file("statuses.yaml")
    statuses = validate(StatusesFile, content, path).statuses
    path, content = shipped_file("units.yaml")
    units = _units(path, validate(UnitsFile, content, path))
    path, content = shipped_file("grades.yaml")
    grades_path, scales = path, validate(GradesFile, content, path).grades
    instruments: list[Instrument] = []
    owners: dict[str, Path] = {}
    for file in sorted((folder / "instruments").glob("*.yaml")):
        instrument = validate(InstrumentFile, read(file), file).instrument
        if instrument.key in owners:
            other = owners[instrument.key]
            raise UsageError(f"{file}: instrument.key: {instrument.key} is that of {other} already")
        owners[instrument.key] = file
        instruments.append(instrument)
    for overlay in overlays:
        additions = validate(OverlayFile, read(overlay), overlay).concepts
        for key, addition in additions.items():
            if key not in concepts:
                known = ", ".join(sorted(concepts))
                raise UsageError(f"{overlay}: concepts.{key}: no such concept; there are: {known}")
            merged = concepts[key].codes + addition.codes
            concepts[key] = concepts[key].model_copy(update={"codes": merged})
            sources[key] += [overlay] * len(addition.codes)

    codes, prefixes = _index_codes(concepts, sources)
    return Mappings(
        base=base,
        concepts=concepts,
        codes=codes,
        prefixes=prefixes,
        statuses=statuses,
        units=units,
        scales=scales,
        grades=_index_grades(grades_path, scales),
        instruments=tuple(instruments),
        canonicals=_index_canonicals(instruments),
        signatures=tuple((frozenset(i.signature), i) for i in instruments if i.signature),
        files=tuple(names),
        sha256=digest.hexdigest(),
    )


def _units(path: Path, file: UnitsFile) -> dict[str, Decimal]:
    """The factors to ng/mL by normalised spelling."""
    table = file.units.get("psa")
    if table is None:
        raise UsageError(f"{path}: units.psa: this key is required")
    found: dict[str, Decimal] = {}
    for unit, factor in table.factors.items():
        if normal_unit(unit) in found:
            raise UsageError(f"{path}: units.psa.factors.{unit}: the same unit stands twice")
        found[normal_unit(unit)] = factor
    return found


def normal_unit(text: str) -> str:
    """A unit's spelling with one micro sign (``u``) and one litre (``L``)."""
    return text.strip().replace("µ", "u").replace("μ", "u").replace("l", "L")


def load_protocol(name: str | Path | dict[str, Any] = DEFAULT_PROTOCOL) -> Protocol:
    """A protocol by its shipped name, from a YAML file, or from content already read.

    Raises:
        UsageError: no such protocol, or the file is wrong (with file and path).
    """
    if isinstance(name, dict):
        return validate(Protocol, name, "protocol")
    path = find_protocol(name)
    return validate(Protocol, read_yaml(path), path)


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


def _same_concepts(path: Path, concepts: dict[str, Concept]) -> None:
    for key in sorted(CONCEPTS ^ concepts.keys()):
        words = "is required" if key in CONCEPTS else "is not known to this version"
        raise UsageError(f"{path}: concepts.{key}: this concept {words}")


def _places(
    concepts: dict[str, Concept], sources: dict[str, list[Path]]
) -> Iterator[tuple[str, int, Path]]:
    for key, concept in concepts.items():
        for number in range(len(concept.codes)):
            yield key, number, sources[key][number]


def _index_codes(
    concepts: dict[str, Concept], sources: dict[str, list[Path]]
) -> tuple[dict[tuple[str | None, str | None], CodeEntry], tuple[Prefix, ...]]:
    codes: dict[tuple[str | None, str | None], CodeEntry] = {}
    prefixes: list[Prefix] = []
    shipped_files = {paths[0] for paths in sources.values() if paths}
    first: dict[tuple[str, str], str] = {}
    for key, number, source in _places(concepts, sources):
        code = concepts[key].codes[number]
        place = f"{source}: concepts.{key}: {code.system}|{code.code}"
        pair = (code.system, code.code)
        if pair in first:
            # The one that was laid over the other is to be mended.
            one, other = (place, first[pair])
            if source in shipped_files and not other.startswith(f"{source}:"):
                one, other = other, one
            raise UsageError(f"{one} stands already at {other}")
        first[pair] = place
        sites = frozenset((site.system, site.code) for site in code.body_site)
        entry = CodeEntry(key, f"{code.system}|{code.code}", sites)
        if code.descendants == "prefix":
            prefixes.append(Prefix(code.system, code.code, entry))
        else:
            codes[pair] = entry
    return codes, tuple(prefixes)


def _index_grades(
    path: Path, grades: Grades
) -> dict[tuple[str | None, str | None], tuple[str, str]]:
    index: dict[tuple[str | None, str | None], tuple[str, str]] = {}
    for name in sorted(SCALES - grades.scales.keys()):
        raise UsageError(f"{path}: grades.scales.{name}: this scale is required")
    for name, scale in grades.scales.items():
        own = [(CodeRef(system=scale.system, code=grade), grade) for grade in scale.order]
        for code, grade in [*own, *((code, code.grade) for code in scale.codes)]:
            pair = (code.system, code.code)
            if pair in index:
                raise UsageError(
                    f"{path}: grades.scales.{name}: {code.system}|{code.code} stands twice"
                )
            index[pair] = (name, grade)
    return index


def _index_canonicals(
    instruments: list[Instrument],
) -> dict[str, tuple[Instrument, ...]]:
    index: dict[str, tuple[Instrument, ...]] = {}
    for instrument in instruments:
        for canonical in instrument.canonicals:
            index[canonical] = (*index.get(canonical, ()), instrument)
    return index
