"""Counts the codes, units, grades and answers of resources, one resource after another."""

from collections.abc import Iterable
from typing import Any

from fhircryo.extract.code_conditions import values_of
from fhircryo.extract.context import Context
from fhircryo.fhir.decode import decode_element
from fhircryo.fhir.wire import (
    COMPONENTS,
    AdverseEvent,
    Causality,
    CodeableConcept,
    Component,
    Observation,
    Period,
)
from fhircryo.mapping.concepts import CONDITION_FIELDS_OF, GRADINGS, SCORE
from fhircryo.setup.survey.count_responses import add_response
from fhircryo.setup.survey.counts import (
    MAX_TEXT_LENGTH,
    CodeCounts,
    CodeOrText,
    GradePlaceCounts,
    MappingTarget,
    NumberSample,
    SourceCounts,
    code_or_text,
    shortened,
)
from fhircryo.setup.survey.recorded_results import is_number, recorded_result
from fhircryo.setup.survey.search_words import Description
from fhircryo.setup.survey.stated_values import StatedValues
from fhircryo.setup.survey.suggestions import Suggester, is_looked_for
from fhircryo.sources.resource_types import SURVEYED_TYPES

#: The concepts whose values are mapped as well.
_WITH_MAPPED_VALUES = frozenset({"cause-of-death", "isup-grade-group"})
#: What an Observation of a grade may refer to: an event, a treatment, or the session of one.
_GRADED_TYPES = frozenset({"AdverseEvent", "Procedure"})
_GRADE_ELEMENTS = ("severity", "event", "category", "seriousness")


class ResourceCounter:
    """Counts resources, one after another.

    ``excluded``: the ids of patients who objected; their resources are counted, but not described.
    """

    def __init__(
        self, context: Context, suggester: Suggester, excluded: frozenset[str] = frozenset()
    ) -> None:
        self.counts = SourceCounts()
        self._context = context
        self._suggester = suggester
        self._stated = StatedValues(suggester)
        self._excluded = excluded

    @property
    def bundle(self) -> dict[str, str]:
        """The full URLs of the Bundle that is being read."""
        return self._context.bundle

    def add(self, kind: str, resource: Any) -> None:
        """Count a decoded resource; ``kind``: its type.

        Raises:
            UnreadableResource: an element has a wrong type.
        """
        counts = self.counts
        counts.types[kind] += 1
        surveyed = SURVEYED_TYPES.get(kind)
        if resource is None or surveyed is None:
            return
        if resource.identifier is not None and self._context.is_own(resource.identifier):
            counts.set_aside["own output"] += 1
            return
        if self._context.is_test(resource.meta):
            counts.set_aside["test data"] += 1
            return
        owner = self._context.patient(resource.subject)
        if owner in self._excluded:
            counts.set_aside["of patients who objected"] += 1
            return
        patient = counts.patients.setdefault(owner, len(counts.patients) + 1) if owner else 0
        year = _year(resource, surveyed.date_elements)
        if kind == "QuestionnaireResponse":
            add_response(counts.forms, self._context.instruments, resource, patient, year)
            return
        self._add_coded(kind, resource, patient, year)

    def _add_coded(self, kind: str, resource: Any, patient: int, year: str) -> None:
        """Count a resource that has a code, and what its other elements hold."""
        elements = SURVEYED_TYPES[kind].code_elements
        concept = next((one for one in map(resource.__getattribute__, elements) if one), None)
        code = self._add_code((kind, "code"), concept, resource, patient, year)
        if kind == "Observation":
            self._add_observation(resource, code, patient, year)
        elif kind == "Procedure":
            if code.may_be and resource.outcome is not None:
                self._add_code((kind, "outcome"), resource.outcome, None, patient, year)
        elif kind == "AdverseEvent":
            self._add_adverse_event(resource, patient)
            self._add_assessments(resource, patient, year)
        if code.may_be:
            for element in CONDITION_FIELDS_OF.get(kind, ()):
                code.add_other_element(element, values_of(element, resource))

    def _add_code(
        self,
        place: tuple[str, str],
        concept: CodeableConcept | None,
        resource: Any,
        patient: int,
        year: str,
    ) -> CodeCounts:
        """Count a code or text; ``place``: the resource type and the element that hold it.

        ``resource``: the one whose other elements decide what the code means; None: they do not.
        """
        kind, element = place
        name = code_or_text(concept)
        key = (kind, element, name)
        code = self.counts.codes.get(key)
        if code is None:
            text = (concept.text or "") if concept is not None else ""
            code = CodeCounts(text if len(text) <= MAX_TEXT_LENGTH else "")
            code.may_be = self._may_be(kind, element, name, code.text)
            self.counts.codes[key] = code
        meanings = tuple(
            [
                MappingTarget(entry.of if entry.concept == SCORE else entry.concept, entry.label)
                for entry in self._context.entries(concept, resource)
                if is_looked_for(kind, element, entry.concept)
            ]
        )
        code.add(patient, year, meanings)
        return code

    def _may_be(self, kind: str, element: str, name: CodeOrText, text: str) -> frozenset[str]:
        """The concepts and instruments that a code or text is mapped to or may be."""
        found = set()
        mappings = self._context.mappings
        for system, code, display in name.codings:
            found |= {entry.concept for entry in mappings.meanings(system, code)}
            description = Description.of((display, text), system, code)
            found |= {one.name for one in self._suggester.suggestions(kind, element, description)}
        if not name.codings:
            description = Description.of((name.text,))
            found |= {one.name for one in self._suggester.suggestions(kind, element, description)}
        return frozenset(found)

    # ------------------------------------------------------------------ Observations

    def _add_observation(
        self, resource: Observation, code: CodeCounts, patient: int, year: str
    ) -> None:
        _add_result(code, resource, patient)
        self._stated.add(code, resource)
        components = decode_element(COMPONENTS, resource.component)
        for component in components:
            part = self._add_code(
                ("Observation", "component"), component.code, resource, patient, year
            )
            _add_result(part, component, patient)
            self._stated.add(part, component)
            if not part.may_be.isdisjoint(GRADINGS):
                self._add_grades("component", component.code, component, patient)
        if not code.may_be.isdisjoint(GRADINGS):
            self._add_grades("Observation", resource.code, resource, patient)
            code.add_other_element("refers to", self._referred_types(resource))
        value = resource.value_codeable_concept
        if value is not None and not code.may_be.isdisjoint(_WITH_MAPPED_VALUES):
            self._add_code(("Observation", "value"), value, None, patient, year)

    def _referred_types(self, resource: Observation) -> set[str]:
        """The types of resources that a grading refers to, which are those that it can grade."""
        references = [*(resource.focus or ()), *(resource.part_of or ())]
        kinds = {self._context.resolve(one).partition("/")[0] for one in references}
        return kinds & _GRADED_TYPES

    def _add_grades(
        self,
        kind: str,
        code: CodeableConcept | None,
        element: Observation | Component,
        patient: int,
    ) -> None:
        name = code_or_text(code)
        place = self._place(
            kind, "|".join(name.codings[0][:2]) if name.codings else name.text, patient
        )
        _add_concept(place, element.value_codeable_concept)
        if element.value_string:
            place.values[shortened(element.value_string)] += 1
        numbers = [element.value_integer]
        if element.value_quantity is not None:
            numbers.append(element.value_quantity.value)
        for number in numbers:
            if is_number(number):
                place.values[str(number)] += 1

    # ------------------------------------------------------------------ AdverseEvents

    def _add_adverse_event(self, resource: AdverseEvent, patient: int) -> None:
        for element in _GRADE_ELEMENTS:
            value = getattr(resource, element)
            for concept in value if isinstance(value, list) else [value]:
                if concept is not None:
                    _add_concept(self._place("AdverseEvent", element, patient), concept)
        for extension in resource.extension or ():
            place = self._place("extension", extension.url or "", patient)
            _add_concept(place, extension.value_codeable_concept)
            if extension.value_coding is not None:
                _add_concept(place, CodeableConcept(coding=[extension.value_coding]))
            text = extension.value_string or extension.value_code
            if text:
                place.values[shortened(text)] += 1
            if is_number(extension.value_integer):
                place.values[str(extension.value_integer)] += 1

    def _add_assessments(self, resource: AdverseEvent, patient: int, year: str) -> None:
        """Count what the outcome is, and how its suspected causes were assessed."""
        outcomes = resource.outcome or ()
        for outcome in [outcomes] if isinstance(outcomes, CodeableConcept) else outcomes:
            self._add_code(("AdverseEvent", "outcome"), outcome, None, patient, year)
        place = ("AdverseEvent", "suspectEntity.causality")
        for suspect in resource.suspect_entity or ():
            causalities = suspect.causality or ()
            for one in [causalities] if isinstance(causalities, Causality) else causalities:
                for said in (one.assessment, one.assessment_method, one.entity_relatedness):
                    if said is not None:
                        self._add_code(place, said, None, patient, year)

    def _place(self, kind: str, name: str, patient: int) -> GradePlaceCounts:
        place = self.counts.places.setdefault((kind, name), GradePlaceCounts())
        place.count += 1
        if patient:
            place.patients.add(patient)
        return place


def _year(resource: Any, elements: Iterable[str]) -> str:
    """The year of the first element that holds a date; empty if there is none."""
    for element in elements:
        found = getattr(resource, element)
        text = found.start if type(found) is Period else found
        if text:
            year: str = text[:4]
            return year if year.isdecimal() and len(year) == 4 else ""
    return ""


def _add_result(code: CodeCounts, element: Observation | Component, patient: int) -> None:
    kind, value = recorded_result(element)
    sample = code.results.get(kind)
    if sample is None:
        sample = code.results[kind] = NumberSample()
    sample.add(value, patient)


def _add_concept(place: GradePlaceCounts, concept: CodeableConcept | None) -> None:
    if concept is None:
        return
    for coding in code_or_text(concept).codings:
        place.values[coding] += 1
    if concept.text:
        place.values[shortened(concept.text)] += 1
