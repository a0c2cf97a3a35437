"""One resource after another, counted."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from fhircryo.extract.code_conditions import values_of
from fhircryo.extract.context import Context
from fhircryo.extract.observation import TEXT_RESULT, UCUM
from fhircryo.fhir.decode import decode_element
from fhircryo.fhir.wire import (
    COMPONENTS,
    AdverseEvent,
    Answer,
    CodeableConcept,
    Component,
    Observation,
    Period,
    QuestionnaireResponse,
    ResponseItem,
)
from fhircryo.mapping.concepts import CONCEPTS, CONDITION_FIELDS_OF, GRADINGS, SCORE
from fhircryo.setup.survey.search_words import Said
from fhircryo.setup.survey.suggest import Suggester
from fhircryo.setup.survey.tally import (
    AS_NUMBER,
    AS_TEXT,
    FEW,
    LONGEST,
    Form,
    Link,
    Meant,
    Name,
    Number,
    Place,
    Result,
    Seen,
    Tally,
    Values,
    shortened,
)

_GRADE_ELEMENTS = ("severity", "event", "category", "seriousness")


class Kind(NamedTuple):
    """How a type is surveyed: the elements that say what it is, and when it was."""

    code: tuple[str, ...]
    dates: tuple[str, ...]


#: The types that are surveyed; a QuestionnaireResponse is what its linkIds say.
KINDS = {
    "Procedure": Kind(
        ("code",),
        (
            "performed_date_time",
            "performed_period",
            "occurrence_date_time",
            "occurrence_period",
        ),
    ),
    "Observation": Kind(
        ("code",), ("effective_date_time", "effective_instant", "effective_period")
    ),
    "Condition": Kind(("code",), ("onset_date_time", "onset_period", "recorded_date")),
    "AdverseEvent": Kind(
        ("event", "code"),
        ("date", "occurrence_date_time", "occurrence_period", "detected"),
    ),
    "QuestionnaireResponse": Kind((), ("authored",)),
    "MedicationRequest": Kind(("medication_codeable_concept",), ("authored_on",)),
    "MedicationStatement": Kind(
        ("medication_codeable_concept",), ("effective_date_time", "effective_period")
    ),
    "MedicationAdministration": Kind(
        ("medication_codeable_concept",), ("effective_date_time", "effective_period")
    ),
}


class Look:
    """Counts resources, one after another; those of ``excluded`` patients only as such."""

    def __init__(
        self, context: Context, suggester: Suggester, excluded: frozenset[str] = frozenset()
    ) -> None:
        self.tally = Tally()
        self._context = context
        self._suggester = suggester
        self._excluded = excluded

    @property
    def bundle(self) -> dict[str, str]:
        """The full URLs of the Bundle that is being read."""
        return self._context.bundle

    def take(self, kind: str, resource: Any) -> None:
        """Count a decoded resource.

        Raises:
            UnreadableResource: an element is of a wrong type.
        """
        tally = self.tally
        tally.types[kind] += 1
        way = KINDS.get(kind)
        if resource is None or way is None:
            return
        if resource.identifier is not None and self._context.is_own(resource.identifier):
            tally.set_aside["own output"] += 1
            return
        if self._context.is_test(resource.meta):
            tally.set_aside["test data"] += 1
            return
        owner = self._context.patient(resource.subject)
        if owner in self._excluded:
            tally.set_aside["of patients who objected"] += 1
            return
        number = tally.patients.setdefault(owner, len(tally.patients) + 1) if owner else 0
        year = _year(resource, way.dates)
        if kind == "QuestionnaireResponse":
            self._form(resource, number, year)
            return
        concept = next((one for one in map(resource.__getattribute__, way.code) if one), None)
        seen = self._see(kind, "code", concept, resource, number, year)
        if kind == "Observation":
            self._observation(resource, seen, number, year)
        elif kind == "Procedure":
            if seen.may_be and resource.outcome is not None:
                self._see(kind, "outcome", resource.outcome, None, number, year)
        elif kind == "AdverseEvent":
            self._adverse_event(resource, number)
        if seen.may_be:
            for element in CONDITION_FIELDS_OF.get(kind, ()):
                seen.beside(element, values_of(element, resource))

    def _see(
        self,
        kind: str,
        element: str,
        concept: CodeableConcept | None,
        resource: Any,
        patient: int,
        year: str,
    ) -> Seen:
        name = _name(concept)
        key = (kind, element, name)
        seen = self.tally.seen.get(key)
        if seen is None:
            text = (concept.text or "") if concept is not None else ""
            seen = self.tally.seen[key] = Seen(text if len(text) <= LONGEST else "")
            seen.may_be = self._may_be(kind, element, name, seen.text)
        means = tuple(
            [
                Meant(entry.of if entry.concept == SCORE else entry.concept, entry.label)
                for entry in self._context.entries(concept, resource)
                if _counts(kind, element, entry.concept)
            ]
        )
        seen.add(patient, year, means)
        return seen

    def _may_be(self, kind: str, element: str, name: Name, text: str) -> frozenset[str]:
        """The concepts and instruments that it is, or may be."""
        found = set()
        codes = self._context.mappings.codes
        for system, code, display in name.codings:
            found |= {entry.concept for entry in codes.get((system, code), ())}
            said = Said.of((display, text), system, code)
            found |= {one.what for one in self._suggester.of(kind, element, said)}
        if not name.codings:
            said = Said.of((name.text,))
            found |= {one.what for one in self._suggester.of(kind, element, said)}
        return frozenset(found)

    # ------------------------------------------------------------------ Observations

    def _observation(self, resource: Observation, seen: Seen, patient: int, year: str) -> None:
        self._measure(resource, seen, patient)
        components = decode_element(COMPONENTS, resource.component)
        for component in components:
            part = self._see("Observation", "component", component.code, resource, patient, year)
            self._measure(component, part, patient)
            if not part.may_be.isdisjoint(GRADINGS):
                self._grades("component", component.code, component, patient)
        if not seen.may_be.isdisjoint(GRADINGS):
            self._grades("Observation", resource.code, resource, patient)
        if "disease-status" in seen.may_be and resource.value_codeable_concept is not None:
            value = resource.value_codeable_concept
            self._see("Observation", "value", value, None, patient, year)

    def _measure(self, element: Observation | Component, seen: Seen, patient: int) -> None:
        result, value = _result(element)
        values = seen.results.get(result)
        if values is None:
            values = seen.results[result] = Values()
        values.add(value, patient)

    def _grades(
        self,
        kind: str,
        code: CodeableConcept | None,
        element: Observation | Component,
        patient: int,
    ) -> None:
        name = _name(code)
        what = "|".join(name.codings[0][:2]) if name.codings else name.text
        place = self._place(kind, what, patient)
        self._put(place, element.value_codeable_concept)
        if element.value_string:
            place.values[shortened(element.value_string)] += 1
        numbers = [element.value_integer]
        if element.value_quantity is not None:
            numbers.append(element.value_quantity.value)
        for number in numbers:
            if _is_number(number):
                place.values[str(number)] += 1

    # ------------------------------------------------------------------ AdverseEvents

    def _adverse_event(self, resource: AdverseEvent, patient: int) -> None:
        for element in _GRADE_ELEMENTS:
            value = getattr(resource, element)
            for concept in value if isinstance(value, list) else [value]:
                if concept is not None:
                    self._put(self._place("AdverseEvent", element, patient), concept)
        for extension in resource.extension or ():
            place = self._place("extension", extension.url or "", patient)
            self._put(place, extension.value_codeable_concept)
            if extension.value_coding is not None:
                self._put(place, CodeableConcept(coding=[extension.value_coding]))
            text = extension.value_string or extension.value_code
            if text:
                place.values[shortened(text)] += 1
            if _is_number(extension.value_integer):
                place.values[str(extension.value_integer)] += 1

    def _place(self, kind: str, what: str, patient: int) -> Place:
        place = self.tally.places.setdefault((kind, what), Place())
        place.count += 1
        if patient:
            place.patients.add(patient)
        return place

    def _put(self, place: Place, concept: CodeableConcept | None) -> None:
        if concept is None:
            return
        for coding in _name(concept).codings:
            place.values[coding] += 1
        if concept.text:
            place.values[shortened(concept.text)] += 1

    # ------------------------------------------------------------------ forms

    def _form(self, resource: QuestionnaireResponse, patient: int, year: str) -> None:
        canonical = (resource.questionnaire or "").split("|", 1)[0]
        answers: dict[str, list[Answer]] = {}
        _collect(resource.item, answers)
        key = (canonical, frozenset() if canonical else frozenset(answers))
        form = self.tally.forms.get(key)
        if form is None:
            form = self.tally.forms[key] = Form()
        form.add(patient, year)
        answered = {link: given for link, given in answers.items() if given}
        known = self._context.instruments.find(canonical, answered)
        form.known_as[tuple([one.key for one in known])] += 1
        for link_id, given in answers.items():
            link = form.links.get(link_id)
            if link is None:
                link = form.links[link_id] = Link()
            for answer in given:
                _answer(link, answer, patient)


def _counts(kind: str, element: str, concept: str) -> bool:
    """Whether a concept is looked for in this element of this type."""
    if element == "component":
        return concept in GRADINGS
    if concept == SCORE:
        return (kind, element) == ("Observation", "code")
    return CONCEPTS[concept].is_read_from(kind, element)


def _name(concept: CodeableConcept | None) -> Name:
    if concept is None:
        return Name((), "")
    codings = tuple(
        [
            (one.system or "", one.code, one.display or "")
            for one in concept.coding or ()
            if one.code
        ]
    )
    return Name(codings, "" if codings else shortened(concept.text or ""))


def _year(resource: Any, names: Iterable[str]) -> str:
    """The year of the first date that is there; empty where there is none."""
    for name in names:
        found = getattr(resource, name)
        text = found.start if type(found) is Period else found
        if text:
            year: str = text[:4]
            return year if year.isdecimal() and len(year) == 4 else ""
    return ""


def _is_number(value: Any) -> bool:
    return type(value) is int or type(value) is Decimal


def _result(element: Observation | Component) -> tuple[Result, Number | None]:
    """How a result is recorded; its unit by the code first, as results are read."""
    if element.data_absent_reason is not None:
        return Result("absent"), None
    quantity = element.value_quantity
    if quantity is not None and _is_number(quantity.value):
        coded = quantity.code and (not quantity.system or quantity.system == UCUM)
        unit = (quantity.code if coded else quantity.unit or quantity.code) or ""
        return Result(AS_NUMBER, shortened(unit)), quantity.value
    if _is_number(element.value_integer):
        return Result("whole numbers"), element.value_integer
    if element.value_string is not None:
        match = TEXT_RESULT.fullmatch(element.value_string)
        if match is None:
            return Result("texts"), None
        number = Decimal(match[2].replace(",", "."))
        return Result(AS_TEXT, shortened(match[3] or "")), number
    if element.value_codeable_concept is not None:
        return Result("coded"), None
    if isinstance(element, Observation) and bytes(element.component):
        return Result("with components"), None
    return Result("without value"), None


def _collect(items: list[ResponseItem] | None, answers: dict[str, list[Answer]]) -> None:
    """The answers to every linkId, at any depth; none to those that group others are left out."""
    for item in items or ():
        if item.link_id and (item.answer or not item.item):
            answers.setdefault(item.link_id, []).extend(item.answer or ())
        for answer in item.answer or ():
            if answer.item:
                _collect(answer.item, answers)
        if item.item:
            _collect(item.item, answers)


def _answer(link: Link, answer: Answer, patient: int) -> None:
    value: Number | None = None
    if answer.value_integer is not None:
        kind, value = "integer", answer.value_integer
    elif answer.value_decimal is not None:
        kind, value = "decimal", answer.value_decimal
    elif answer.value_quantity is not None:
        kind, value = "quantity", answer.value_quantity.value
    elif answer.value_coding is not None:
        kind = "coding"
        link.codes[answer.value_coding.system or "", answer.value_coding.code or ""] += 1
    elif answer.value_string is not None:
        kind = "string"
    else:
        given = (name for name in answer.__struct_fields__ if getattr(answer, name) is not None)
        kind = next(given, "item").removeprefix("value_").replace("_", " ")
    link.kinds[kind] += 1
    if patient and len(link.few) < FEW:
        link.few.add(patient)
    if value is not None and _is_number(value):
        link.numbers[value] += 1
