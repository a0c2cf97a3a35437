"""Merges site overlays into the shipped mappings and records the location of every entry.

A layer first withdraws entries of earlier layers, then adds its own. An entry never replaces
another: one that contradicts an earlier layer is an error that names both locations, and one that
repeats an earlier layer is left out.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from fhircryo.errors import UsageError
from fhircryo.mapping.code_systems import CodeSystems
from fhircryo.mapping.complication_kinds import MergedKinds
from fhircryo.mapping.concepts import CONCEPTS, FINDINGS, SCALES, SPLIT_FROM, WITH_UNIT
from fhircryo.mapping.former_concepts import FORMER_CONCEPTS, PROGRESSION, FormerConcepts
from fhircryo.mapping.grade_schema import (
    GradeCode,
    GradesFile,
    GradeText,
    Scale,
)
from fhircryo.mapping.locations import Layer, Located, Location
from fhircryo.mapping.meaning_checks import check_meaning
from fhircryo.mapping.normalise import normal_unit
from fhircryo.mapping.overlay import ConceptAddition, GradeAdditions, OverlayFile, WithdrawnCode
from fhircryo.mapping.questionnaire_merge import MergedQuestionnaires
from fhircryo.mapping.repeats import KnownCodes, new_texts, not_yet
from fhircryo.mapping.schema import (
    Concept,
    ConceptCode,
    ConceptsFile,
    ConceptText,
    Meaning,
    UnitsFile,
)
from fhircryo.mapping.status_schema import (
    Statuses,
    StatusesFile,
)
from fhircryo.mapping.tokens import Token, token
from fhircryo.mapping.yamlfile import Loc, nearest

LOG = logging.getLogger("fhircryo.mappings")


@dataclass
class MergedConcept:
    """A concept with its codes and texts, and the withdrawn codes that a prefix still covers."""

    words: str = ""
    contradicted_by: tuple[str, ...] = ()
    codes: list[Located[ConceptCode]] = field(default_factory=list)
    texts: list[Located[ConceptText]] = field(default_factory=list)
    withdrawn: list[Located[WithdrawnCode]] = field(default_factory=list)

    def merged(self) -> Concept:
        """Return the concept with the codes and texts that count."""
        return Concept(
            words=self.words,
            codes=tuple(code for code, _ in self.codes),
            texts=tuple(text for text, _ in self.texts),
            contradicted_by=self.contradicted_by,
        )


@dataclass
class MergedScale:
    """A grading scale: codings and texts of its grades, and extensions for this scale only."""

    scale: Scale
    location: Location
    codes: list[Located[GradeCode]] = field(default_factory=list)
    texts: list[Located[GradeText]] = field(default_factory=list)
    extensions: list[Located[str]] = field(default_factory=list)


@dataclass
class MergedMappings:
    """The shipped mappings with all overlays applied."""

    systems: CodeSystems = field(default_factory=CodeSystems)
    concepts: dict[str, MergedConcept] = field(default_factory=dict)
    statuses: Statuses | None = None
    status_locations: dict[str, Location] = field(default_factory=dict)
    #: By normalised spelling: the spelling as written, and its factor to ng/mL.
    units: dict[str, Located[tuple[str, Decimal]]] = field(default_factory=dict)
    #: The factor to mL by normalised spelling.
    volume_units: dict[str, Decimal] = field(default_factory=dict)
    extensions: list[Located[str]] = field(default_factory=list)
    scales: dict[str, MergedScale] = field(default_factory=dict)
    questionnaires: MergedQuestionnaires = field(default_factory=MergedQuestionnaires)
    kinds: MergedKinds = field(default_factory=MergedKinds)
    detection_limit: Located[str] | None = None
    former: FormerConcepts = field(default_factory=FormerConcepts)

    # ------------------------------------------------------------------ shipped

    def add_concepts(self, layer: Layer, file: ConceptsFile) -> None:
        """Add the shipped concepts."""
        for key in sorted(CONCEPTS.keys() ^ file.concepts.keys()):
            words = "is required" if key in CONCEPTS else "is not known to this version"
            raise layer.error(("concepts", key), f"this concept {words}")
        self.systems = CodeSystems(file.systems)
        for key, concept in file.concepts.items():
            self.concepts[key] = MergedConcept(concept.words, concept.contradicted_by)
            self._add_meanings(layer, key, concept.codes, concept.texts)
        self.former.begin(self.concepts[PROGRESSION].codes)

    def add_statuses(self, layer: Layer, file: StatusesFile) -> None:
        """Set the shipped choice of statuses."""
        self.statuses = file.statuses
        for name in type(file.statuses).model_fields:
            self.status_locations[name] = layer.location("statuses", name)

    def add_units(self, layer: Layer, file: UnitsFile) -> None:
        """Add the shipped units."""
        for key in ("psa", "prostate-volume"):
            if key not in file.units:
                raise layer.error(("units", key), "this key is required")
        self._add_factors(layer, file.units["psa"].factors)
        volumes = file.units["prostate-volume"].factors
        self.volume_units = {normal_unit(unit): factor for unit, factor in volumes.items()}

    def add_grades(self, layer: Layer, file: GradesFile) -> None:
        """Add the shipped grading scales."""
        for name in sorted(SCALES - file.grades.scales.keys()):
            raise layer.error(("grades", "scales", name), "this scale is required")
        self.extensions += layer.located(("grades", "extensions"), file.grades.extensions)
        for name, scale in file.grades.scales.items():
            loc = ("grades", "scales", name)
            self.scales[name] = MergedScale(scale, layer.location(*loc))
            self._add_grades(layer, loc, name, scale.codes, ())

    # ------------------------------------------------------------------ overlays

    def apply_overlay(self, layer: Layer, overlay: OverlayFile) -> None:
        """Apply an overlay to the mappings merged so far.

        Raises:
            UsageError: the overlay changes or withdraws something that does not exist, or adds
                something that contradicts an earlier layer.
        """
        self._apply_concepts(layer, overlay.concepts)
        if overlay.statuses is not None and self.statuses is not None:
            chosen = overlay.statuses.model_dump(exclude_none=True)
            self.statuses = self.statuses.model_copy(update=chosen)
            for name in chosen:
                self.status_locations[name] = layer.location("statuses", name)
        if overlay.units is not None:
            self._withdraw_units(layer, overlay.units.psa.withdraw)
            self._add_factors(layer, overlay.units.psa.factors)
        if overlay.grades is not None:
            self._apply_grades(layer, overlay.grades)
        for key, kind in overlay.complication_kinds.items():
            self.kinds.change(layer, key, kind, self.systems)
        for key, addition in overlay.instruments.items():
            self.questionnaires.change(layer, key, addition)
        for number, questionnaire in enumerate(overlay.new_instruments):
            self.questionnaires.add(layer, questionnaire, ("new_instruments", number))
        if overlay.protocol is not None:
            loc = ("protocol", "psa", "detection_limit")
            self.detection_limit = Located(
                overlay.protocol.psa.detection_limit, layer.location(*loc)
            )

    def _apply_concepts(self, layer: Layer, concepts: Mapping[str, ConceptAddition]) -> None:
        for key, concept in concepts.items():
            if key in FORMER_CONCEPTS:
                continue
            if key not in self.concepts:
                words = f"no such concept{nearest(key, self.concepts)}"
                raise layer.error(("concepts", key), words)
            self._withdraw_codes(layer, key, concept)
            self._add_meanings(layer, key, concept.codes, concept.texts)
        if any(key in concepts for key in FORMER_CONCEPTS):
            self._apply_former(layer, concepts)

    def check_units(self) -> None:
        """Raise a UsageError if the unit of a code is not a known unit."""
        for key in sorted(WITH_UNIT):
            concept = self.concepts[key]
            for name, entries in (("codes", concept.codes), ("texts", concept.texts)):
                for entry, location in entries:
                    if entry.unit is None or normal_unit(entry.unit) in self.units:
                        continue
                    known = [located.value[0] for located in self.units.values()]
                    words = f"unit: {entry.unit} is not known{nearest(entry.unit, known)}"
                    raise UsageError(f"{location}: concepts.{key}.{name}: {words}")

    def chosen_statuses(self) -> Statuses:
        """Return the statuses that count.

        Raises:
            UsageError: a status of ``procedure_complete`` is missing from ``procedure``.
        """
        if self.statuses is None:
            raise UsageError("no statuses have been read")
        for status in self.statuses.procedure_complete:
            if status not in self.statuses.procedure:
                location = self.status_locations["procedure_complete"]
                words = f"{status} is not in statuses.procedure"
                raise UsageError(f"{location}: statuses.procedure_complete: {words}")
        return self.statuses

    def all_extensions(self) -> dict[str, tuple[str, Location]]:
        """Return, by URL, the scale (empty: any) and the location of extensions that state a grade.

        Raises:
            UsageError: an extension is defined twice.
        """
        found: dict[str, tuple[str, Location]] = {}
        scales = [("", self.extensions), *((n, s.extensions) for n, s in self.scales.items())]
        for scale, extensions in scales:
            for url, location in extensions:
                if url in found:
                    other = found[url][1]
                    raise UsageError(f"{location}: grades: {url} is already defined at {other}")
                found[url] = scale, location
        return found

    def _withdraw_codes(self, layer: Layer, key: str, addition: ConceptAddition) -> None:
        concept = self.concepts[key]
        if addition.withdraw == "all":
            concept.codes.clear()
            concept.texts.clear()
            concept.withdrawn.clear()
            return
        for number, given in enumerate(addition.withdraw):
            loc: Loc = ("concepts", key, "withdraw", number)
            for system in self.systems.of(given.system):
                code = given.model_copy(update={"system": system})
                self._withdraw_code(layer, loc, self._home_of(code, key), code)

    def _home_of(self, code: WithdrawnCode, key: str) -> str:
        """Return the concept from which a code is withdrawn: the given one, or where it is now."""
        moved = SPLIT_FROM.get(key)
        if moved is None or self._covered(code, [key]):
            return key
        for one, _ in self.concepts[key].codes:
            if self.systems.withdraws(code, one.system, one.code):
                return key
        for one, _ in self.concepts[moved].codes:
            if self.systems.withdraws(code, one.system, one.code):
                return moved
        return key

    def _withdraw_code(self, layer: Layer, loc: Loc, key: str, code: WithdrawnCode) -> None:
        concept = self.concepts[key]
        kept = [
            one
            for one in concept.codes
            if not self.systems.withdraws(code, one.value.system, one.value.code)
        ]
        if len(kept) == len(concept.codes) and not self._covered(code, [key]):
            known = [one.value.code for one in kept if one.value.system == code.system]
            words = f"{code.system}|{code.code}: {key} has no such code to withdraw"
            raise layer.error(loc, f"{words}{nearest(code.code, known)}")
        if any(one.value.descendants for one in concept.codes if one not in kept):
            code = code.model_copy(update={"descendants": "prefix"})
        concept.codes[:] = kept
        elements = CONCEPTS[key].elements
        others = [one for one in self.concepts if CONCEPTS[one].elements & elements]
        # A prefix, also of another concept, must not give the withdrawn code its own meaning.
        if self._covered(code, others):
            concept.withdrawn.append(Located(code, layer.location(*loc)))

    def _covered(self, withdrawn: WithdrawnCode, concepts: Iterable[str]) -> bool:
        """Return whether a prefix of one of the concepts covers the withdrawn code."""
        return any(
            self.systems.covers(one, withdrawn)
            for key in concepts
            for one, _ in self.concepts[key].codes
        )

    def _add_meanings(
        self,
        layer: Layer,
        key: str,
        codes: Sequence[ConceptCode],
        texts: Sequence[ConceptText],
    ) -> None:
        for name, entries in (("codes", codes), ("texts", texts)):
            for number, entry in enumerate(entries):
                check_meaning(layer, key, ("concepts", key, name, number), entry)
        concept = self.concepts[key]
        new = list(self.systems.expanded(layer.located(("concepts", key, "codes"), codes)))
        if new and layer.number:
            known = KnownCodes(
                key,
                self.systems,
                {name: one.codes for name, one in self.concepts.items()},
                {name: one.withdrawn for name, one in self.concepts.items()},
            )
            new = [one for one in new if not known.states(one.value)]
        concept.codes += new
        concept.texts += new_texts(layer.located(("concepts", key, "texts"), texts), concept.texts)

    def _apply_former(self, layer: Layer, concepts: Mapping[str, ConceptAddition]) -> None:
        """Read the concepts of version 0.1, and say once what to write instead."""
        progression = self.concepts[PROGRESSION]
        standing: list[Meaning] = [code for code, _ in progression.codes]
        self.former.forget([*standing, *(text for text, _ in progression.texts)])
        self.former.change(layer, concepts, self.systems)
        made: list[object] = [*self.former.made]
        progression.codes[:] = [one for one in progression.codes if one not in made]
        progression.texts[:] = [one for one in progression.texts if one not in made]
        self.former.make(self._stated_values())
        for entry, location in self.former.made:
            if isinstance(entry, ConceptCode):
                progression.codes.append(Located(entry, location))
            else:
                progression.texts.append(Located(entry, location))
        LOG.warning("%s", self.former.told(layer, concepts))

    def _stated_values(self) -> dict[Token, set[Token]]:
        """Return the values that state a finding, by the code or text of the Observation."""
        found: dict[Token, set[Token]] = {}
        for key in FINDINGS:
            concept = self.concepts[key]
            for code, _ in concept.codes:
                found.setdefault(token(code), set()).update(map(token, code.value))
            for text, _ in concept.texts:
                found.setdefault(token(text), set()).update(map(token, text.value))
        return found

    def _withdraw_units(self, layer: Layer, units: Sequence[str]) -> None:
        for number, unit in enumerate(units):
            if self.units.pop(normal_unit(unit), None) is None:
                known = [located.value[0] for located in self.units.values()]
                words = f"there is no {unit} to withdraw{nearest(unit, known)}"
                raise layer.error(("units", "psa", "withdraw", number), words)

    def _add_factors(self, layer: Layer, factors: dict[str, Decimal]) -> None:
        for unit, factor in factors.items():
            loc = ("units", "psa", "factors", unit)
            other = self.units.get(normal_unit(unit))
            if other is not None and layer.number and other.value[1] == factor:
                continue
            if other is not None:
                raise layer.error(loc, f"this unit is already defined at {other.location}")
            self.units[normal_unit(unit)] = Located((unit, factor), layer.location(*loc))

    def _apply_grades(self, layer: Layer, grades: GradeAdditions) -> None:
        for number, url in enumerate(grades.withdraw):
            known = self.all_extensions()
            if url not in known:
                words = f"there is no extension {url} to withdraw{nearest(url, known)}"
                raise layer.error(("grades", "withdraw", number), words)
            for found in (self.extensions, *(scale.extensions for scale in self.scales.values())):
                found[:] = [one for one in found if one.value != url]
        urls = layer.located(("grades", "extensions"), grades.extensions)
        self.extensions += not_yet(urls, self.extensions, str)
        for name, addition in grades.scales.items():
            loc = ("grades", "scales", name)
            if name not in self.scales:
                raise layer.error(loc, f"no such scale{nearest(name, self.scales)}")
            scale = self.scales[name]
            for number, code in enumerate(addition.withdraw):
                kept = [
                    one
                    for one in scale.codes
                    if (one.value.system, one.value.code) != (code.system, code.code)
                ]
                if len(kept) == len(scale.codes):
                    words = f"{code.system}|{code.code}: {name} has no such code to withdraw"
                    raise layer.error((*loc, "withdraw", number), words)
                scale.codes[:] = kept
            self._add_grades(layer, loc, name, addition.codes, addition.texts)
            urls = layer.located((*loc, "extensions"), addition.extensions)
            scale.extensions += not_yet(urls, scale.extensions, str)

    def _add_grades(
        self,
        layer: Layer,
        loc: Loc,
        name: str,
        codes: Sequence[GradeCode],
        texts: Sequence[GradeText],
    ) -> None:
        scale = self.scales[name]
        given = [("codes", number, code.grade) for number, code in enumerate(codes)]
        given += [("texts", number, text.grade) for number, text in enumerate(texts)]
        for key, number, grade in given:
            if grade not in scale.scale.order:
                words = f"{grade!r} is not a grade of {name}{nearest(grade, scale.scale.order)}"
                raise layer.error((*loc, key, number, "grade"), words)
        listed = layer.located((*loc, "codes"), codes)
        worded = layer.located((*loc, "texts"), texts)
        scale.codes += not_yet(listed, scale.codes, _grade_of)
        scale.texts += not_yet(worded, scale.texts, _grade_of)


def _grade_of(entry: GradeCode | GradeText) -> tuple[Token, str]:
    return token(entry), entry.grade
