"""Lays site overlays over the shipped mappings, and knows of every entry where it stands.

What a layer withdraws is taken from the layers below it, before what it adds is added. Nothing is
replaced by standing again: an entry that is there already is an error that names both places.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from fhircryo.errors import UsageError
from fhircryo.mapping.concepts import CONCEPTS, SCALES, STATUSES_OF, WITH_UNIT
from fhircryo.mapping.forms import Forms
from fhircryo.mapping.overlay import ConceptAddition, GradeAdditions, OverlayFile, WithdrawnCode
from fhircryo.mapping.places import Layer, Place, Placed
from fhircryo.mapping.schema import (
    CONDITIONS,
    Concept,
    ConceptCode,
    ConceptsFile,
    ConceptText,
    GradeCode,
    GradesFile,
    GradeText,
    Meaning,
    Scale,
    Statuses,
    StatusesFile,
    UnitsFile,
)
from fhircryo.mapping.texts import normal_unit
from fhircryo.mapping.yamlfile import Loc, nearest


@dataclass
class ConceptLayers:
    """A concept: its codes and texts, and the codes taken away that a prefix would cover."""

    words: str = ""
    codes: list[Placed[ConceptCode]] = field(default_factory=list)
    texts: list[Placed[ConceptText]] = field(default_factory=list)
    withdrawn: list[Placed[WithdrawnCode]] = field(default_factory=list)

    def merged(self) -> Concept:
        """The concept with all that counts."""
        return Concept(
            words=self.words,
            codes=tuple(code for code, _ in self.codes),
            texts=tuple(text for text, _ in self.texts),
        )


@dataclass
class ScaleLayers:
    """A grading scale: its grades as codings and texts, the extensions that are of it alone."""

    scale: Scale
    place: Place
    codes: list[Placed[GradeCode]] = field(default_factory=list)
    texts: list[Placed[GradeText]] = field(default_factory=list)
    extensions: list[Placed[str]] = field(default_factory=list)


@dataclass
class Layers:
    """The shipped mappings with everything that was laid over them."""

    concepts: dict[str, ConceptLayers] = field(default_factory=dict)
    statuses: Statuses | None = None
    status_places: dict[str, Place] = field(default_factory=dict)
    #: By normalised spelling: the spelling, what one of it is in ng/mL.
    units: dict[str, Placed[tuple[str, Decimal]]] = field(default_factory=dict)
    extensions: list[Placed[str]] = field(default_factory=list)
    scales: dict[str, ScaleLayers] = field(default_factory=dict)
    forms: Forms = field(default_factory=Forms)
    detection_limit: Placed[str] | None = None

    # ------------------------------------------------------------------ shipped

    def add_concepts(self, layer: Layer, file: ConceptsFile) -> None:
        """The shipped concepts."""
        for key in sorted(CONCEPTS.keys() ^ file.concepts.keys()):
            words = "is required" if key in CONCEPTS else "is not known to this version"
            raise layer.error(("concepts", key), f"this concept {words}")
        for key, concept in file.concepts.items():
            self.concepts[key] = ConceptLayers(concept.words)
            self._add_meanings(layer, key, concept.codes, concept.texts)

    def add_statuses(self, layer: Layer, file: StatusesFile) -> None:
        """The shipped choice of statuses."""
        self.statuses = file.statuses
        for name in type(file.statuses).model_fields:
            self.status_places[name] = layer.place("statuses", name)

    def add_units(self, layer: Layer, file: UnitsFile) -> None:
        """The shipped units."""
        if "psa" not in file.units:
            raise layer.error(("units", "psa"), "this key is required")
        self._add_factors(layer, file.units["psa"].factors)

    def add_grades(self, layer: Layer, file: GradesFile) -> None:
        """The shipped scales."""
        for name in sorted(SCALES - file.grades.scales.keys()):
            raise layer.error(("grades", "scales", name), "this scale is required")
        self.extensions += layer.placed(("grades", "extensions"), file.grades.extensions)
        for name, scale in file.grades.scales.items():
            loc = ("grades", "scales", name)
            self.scales[name] = ScaleLayers(scale, layer.place(*loc))
            self._add_grades(layer, loc, name, scale.codes, ())

    # ------------------------------------------------------------------ a site's

    def lay(self, layer: Layer, overlay: OverlayFile) -> None:
        """Lay an overlay over what is there.

        Raises:
            UsageError: it names something that is not there, or adds what is there already.
        """
        for key, concept in overlay.concepts.items():
            if key not in self.concepts:
                raise layer.error(
                    ("concepts", key), f"no such concept{nearest(key, self.concepts)}"
                )
            self._withdraw_codes(layer, key, concept)
            self._add_meanings(layer, key, concept.codes, concept.texts)
        if overlay.statuses is not None and self.statuses is not None:
            chosen = overlay.statuses.model_dump(exclude_none=True)
            self.statuses = self.statuses.model_copy(update=chosen)
            for name in chosen:
                self.status_places[name] = layer.place("statuses", name)
        if overlay.units is not None:
            self._withdraw_units(layer, overlay.units.psa.withdraw)
            self._add_factors(layer, overlay.units.psa.factors)
        if overlay.grades is not None:
            self._lay_grades(layer, overlay.grades)
        for key, addition in overlay.instruments.items():
            self.forms.change(layer, key, addition)
        for number, questionnaire in enumerate(overlay.new_instruments):
            self.forms.add(layer, questionnaire, ("new_instruments", number))
        if overlay.protocol is not None:
            loc = ("protocol", "psa", "detection_limit")
            self.detection_limit = Placed(overlay.protocol.psa.detection_limit, layer.place(*loc))

    def check_units(self) -> None:
        """Raise the error of a code whose unit is none of those that are known."""
        for key in sorted(WITH_UNIT):
            concept = self.concepts[key]
            for name, entries in (("codes", concept.codes), ("texts", concept.texts)):
                for entry, place in entries:
                    if entry.unit is None or normal_unit(entry.unit) in self.units:
                        continue
                    known = [placed.value[0] for placed in self.units.values()]
                    words = f"unit: {entry.unit} is not known{nearest(entry.unit, known)}"
                    raise UsageError(f"{place}: concepts.{key}.{name}: {words}")

    def chosen_statuses(self) -> Statuses:
        """The statuses that count.

        Raises:
            UsageError: one that is a technical success is not one of a candidate.
        """
        if self.statuses is None:
            raise UsageError("no statuses were read")
        for status in self.statuses.procedure_complete:
            if status not in self.statuses.procedure:
                place = self.status_places["procedure_complete"]
                raise UsageError(
                    f"{place}: statuses.procedure_complete: {status} is not in statuses.procedure"
                )
        return self.statuses

    def all_extensions(self) -> dict[str, tuple[str, Place]]:
        """The extensions that state a grade: of which scale (empty: any), and where that stands.

        Raises:
            UsageError: one stands twice.
        """
        found: dict[str, tuple[str, Place]] = {}
        scales = [("", self.extensions), *((n, s.extensions) for n, s in self.scales.items())]
        for scale, extensions in scales:
            for url, place in extensions:
                if url in found:
                    other = found[url][1]
                    raise UsageError(f"{place}: grades: {url} stands already at {other}")
                found[url] = scale, place
        return found

    def _withdraw_codes(self, layer: Layer, key: str, addition: ConceptAddition) -> None:
        concept = self.concepts[key]
        if addition.withdraw == "all":
            concept.codes.clear()
            concept.texts.clear()
            concept.withdrawn.clear()
            return
        for number, code in enumerate(addition.withdraw):
            loc: Loc = ("concepts", key, "withdraw", number)
            kept = [
                one
                for one in concept.codes
                if not withdraws(code, one.value.system, one.value.code)
            ]
            covered = any(_covers(one.value, code) for one in kept)
            if len(kept) == len(concept.codes) and not covered:
                known = [one.value.code for one in kept if one.value.system == code.system]
                words = f"{code.system}|{code.code}: {key} has no such code to withdraw"
                raise layer.error(loc, f"{words}{nearest(code.code, known)}")
            concept.codes[:] = kept
            if covered:
                concept.withdrawn.append(Placed(code, layer.place(*loc)))

    def _add_meanings(
        self,
        layer: Layer,
        key: str,
        codes: Sequence[ConceptCode],
        texts: Sequence[ConceptText],
    ) -> None:
        for name, entries in (("codes", codes), ("texts", texts)):
            for number, entry in enumerate(entries):
                _check_meaning(layer, key, ("concepts", key, name, number), entry)
        self.concepts[key].codes += layer.placed(("concepts", key, "codes"), codes)
        self.concepts[key].texts += layer.placed(("concepts", key, "texts"), texts)

    def _withdraw_units(self, layer: Layer, units: Sequence[str]) -> None:
        for number, unit in enumerate(units):
            if self.units.pop(normal_unit(unit), None) is None:
                known = [placed.value[0] for placed in self.units.values()]
                words = f"there is no {unit} to withdraw{nearest(unit, known)}"
                raise layer.error(("units", "psa", "withdraw", number), words)

    def _add_factors(self, layer: Layer, factors: dict[str, Decimal]) -> None:
        for unit, factor in factors.items():
            loc = ("units", "psa", "factors", unit)
            other = self.units.get(normal_unit(unit))
            if other is not None:
                raise layer.error(loc, f"the unit stands already at {other.place}")
            self.units[normal_unit(unit)] = Placed((unit, factor), layer.place(*loc))

    def _lay_grades(self, layer: Layer, grades: GradeAdditions) -> None:
        for number, url in enumerate(grades.withdraw):
            known = self.all_extensions()
            if url not in known:
                words = f"there is no extension {url} to withdraw{nearest(url, known)}"
                raise layer.error(("grades", "withdraw", number), words)
            for found in (self.extensions, *(scale.extensions for scale in self.scales.values())):
                found[:] = [one for one in found if one.value != url]
        self.extensions += layer.placed(("grades", "extensions"), grades.extensions)
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
            scale.extensions += layer.placed((*loc, "extensions"), addition.extensions)

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
        scale.codes += layer.placed((*loc, "codes"), codes)
        scale.texts += layer.placed((*loc, "texts"), texts)


def withdraws(withdrawn: WithdrawnCode, system: str, code: str) -> bool:
    """Whether a code is among those withdrawn."""
    if system != withdrawn.system:
        return False
    if withdrawn.descendants == "prefix":
        return code.startswith(withdrawn.code)
    return code == withdrawn.code


def _covers(code: ConceptCode, withdrawn: WithdrawnCode) -> bool:
    """Whether a code counts with its descendants, and one of them is withdrawn."""
    return (
        code.descendants == "prefix"
        and code.system == withdrawn.system
        and withdrawn.code.startswith(code.code)
    )


def _check_meaning(layer: Layer, key: str, loc: Loc, entry: Meaning) -> None:
    """Raise the error of a condition or unit that the concept's resources cannot have."""
    known = CONCEPTS[key]
    for condition in CONDITIONS:
        if getattr(entry, condition) and condition not in known.conditions:
            words = f"{known.resource}.{known.element} is not read together with it"
            raise layer.error((*loc, condition), words + nearest(condition, known.conditions))
    for number, status in enumerate(entry.status):
        statuses = STATUSES_OF[known.resource]
        if status not in statuses:
            words = f"{known.resource} has no such status{nearest(status, statuses)}"
            raise layer.error((*loc, "status", number), words)
    if entry.unit is not None and key not in WITH_UNIT:
        words = f"results of {key} have no unit; those of {', '.join(sorted(WITH_UNIT))} do"
        raise layer.error((*loc, "unit"), words)
