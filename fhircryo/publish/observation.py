"""An endpoint as an Observation."""

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from msgspec import Raw

from fhircryo.endpoints.catalogue import ValueType
from fhircryo.endpoints.result import Absent, Component, Part, Result
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.protocol import Protocol
from fhircryo.model import Reason
from fhircryo.publish.wire import (
    OutCoding,
    OutComponent,
    OutConcept,
    OutIdentifier,
    OutObservation,
    OutPeriod,
    OutQuantity,
    OutReference,
    number,
    raw,
)

UCUM = "http://unitsofmeasure.org"
#: https://terminology.hl7.org/CodeSystem-v2-0136.html
YES_NO = "http://terminology.hl7.org/CodeSystem/v2-0136"
#: https://terminology.hl7.org/CodeSystem-data-absent-reason.html
DATA_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
#: https://terminology.hl7.org/CodeSystem-observation-category.html
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
DEVICE_ID = "fhircryo"

_UNITS = {ValueType.PSA: "ng/mL", ValueType.DAYS: "d", ValueType.SCORE: "{score}"}
_PSA_PARTS = frozenset({Part.NADIR, Part.THRESHOLD, Part.FAILING_PSA})
# As evidence these are what an Observation may derive from; the rest stands in the Provenance.
_DERIVED_FROM = ("Observation/", "QuestionnaireResponse/")


@dataclass(frozen=True)
class Subject:
    """Whose endpoints, and of which index procedure; as references."""

    patient: str
    index: str


class ObservationMaker:
    """Makes the Observations of a run; what is the same in many is encoded once."""

    def __init__(self, mappings: Mappings, protocol: Protocol, source_name: str = "") -> None:
        base = mappings.base
        self._base = base
        self._protocol = protocol
        self._source_name = source_name
        self._scales = mappings.scales.scales
        tag = [OutCoding(f"{base}/CodeSystem/tag", "research-use")]
        self._meta = raw({"tag": tag})
        derived = OutConcept([OutCoding(f"{base}/CodeSystem/category", "derived-endpoint")])
        survey = OutConcept([OutCoding(CATEGORY, "survey")])
        self._category = raw([derived])
        self._survey_category = raw([derived, survey])
        self._method = raw(OutConcept(text=protocol.name))
        self._device = OutReference(f"Device/{DEVICE_ID}")
        self._codes: dict[str, Raw] = {}
        self._values: dict[tuple[str, str], Raw] = {}
        self._parts = {
            part: raw(OutConcept([OutCoding(f"{base}/CodeSystem/component", part)]))
            for part in Part
        }
        self._yes_no = {
            True: raw(OutConcept([OutCoding(YES_NO, "Y", "Yes")])),
            False: raw(OutConcept([OutCoding(YES_NO, "N", "No")])),
        }
        self._absent: dict[tuple[Absent, Reason], Raw] = {}

    def identifier(self, result: Result, subject: Subject) -> str:
        """The stable id of an endpoint: the same over runs and machines."""
        name = "\x1f".join(
            (
                self._source_name,
                subject.patient,
                subject.index,
                result.code,
                result.time_point,
                self._protocol.id,
            )
        )
        return "e" + hashlib.sha256(name.encode()).hexdigest()[:32]

    def make(self, result: Result, subject: Subject) -> OutObservation:
        """The Observation of a result."""
        identifier = self.identifier(result, subject)
        observation = OutObservation(
            identifier,
            self._meta,
            [OutIdentifier(f"{self._base}/endpoint", identifier)],
            "final" if result.final else "preliminary",
            self._survey_category if result.instrument else self._category,
            self._code(result),
            OutReference(subject.patient),
            part_of=[OutReference(subject.index)],
            method=self._method,
            device=self._device,
        )
        if result.period:
            end = result.end.isoformat() if result.end is not None else None
            observation.effective_period = OutPeriod(result.start.isoformat(), end)
        else:
            observation.effective_date_time = result.start.isoformat()
        self._set_value(observation, result)
        if result.components:
            observation.component = [self._component(part) for part in result.components]
        refs = [one.ref for one in result.evidence if one.ref.startswith(_DERIVED_FROM)]
        if refs:
            observation.derived_from = [OutReference(ref) for ref in dict.fromkeys(refs)]
        return observation

    def _code(self, result: Result) -> Raw:
        code = result.code
        try:
            return self._codes[code]
        except KeyError:
            coding = OutCoding(f"{self._base}/CodeSystem/endpoint", code)
            made = self._codes[code] = raw(OutConcept([coding], result.endpoint.words))
            return made

    def _set_value(self, observation: OutObservation, result: Result) -> None:
        value = result.value
        if value is None:
            if result.absent is not None and result.reason is not None:
                observation.data_absent_reason = self._why(result.absent, result.reason)
        elif isinstance(value, bool):
            observation.value_codeable_concept = self._yes_no[value]
        elif isinstance(value, str):
            observation.value_codeable_concept = self._grade(result.endpoint.scale, value)
        elif result.endpoint.value_type is ValueType.COUNT:
            observation.value_integer = int(value)
        else:
            observation.value_quantity = _quantity(value, _UNITS[result.endpoint.value_type])

    def _why(self, absent: Absent, reason: Reason) -> Raw:
        try:
            return self._absent[absent, reason]
        except KeyError:
            ours = OutCoding(f"{self._base}/CodeSystem/reason", reason)
            made = raw(OutConcept([OutCoding(DATA_ABSENT, absent), ours]))
            self._absent[absent, reason] = made
            return made

    def _grade(self, name: str, grade: str) -> Raw:
        try:
            return self._values[name, grade]
        except KeyError:
            scale = self._scales[name]
            codings = [OutCoding(scale.system, grade)]
            codings += [
                OutCoding(code.system, code.code) for code in scale.codes if code.grade == grade
            ]
            made = self._values[name, grade] = raw(OutConcept(codings))
            return made

    def _component(self, component: Component) -> OutComponent:
        value = component.value
        made = OutComponent(self._parts[component.part])
        if isinstance(value, bool):
            made.value_codeable_concept = self._yes_no[value]
        elif isinstance(value, str):
            made.value_codeable_concept = self._time_point(value)
        elif component.part in _PSA_PARTS:
            made.value_quantity = _quantity(value, _UNITS[ValueType.PSA])
        elif component.part is Part.BASELINE_SCORE:
            made.value_quantity = _quantity(value, _UNITS[ValueType.SCORE])
        else:
            made.value_integer = int(value)
        return made

    def _time_point(self, name: str) -> Raw:
        key = (Part.TIME_POINT, name)
        try:
            return self._values[key]
        except KeyError:
            coding = OutCoding(f"{self._base}/CodeSystem/time-point", name)
            made = self._values[key] = raw(OutConcept([coding]))
            return made


def _quantity(value: int | Decimal | Fraction, unit: str) -> OutQuantity:
    return OutQuantity(number(value), unit, UCUM, unit)


def references(result: Result) -> list[str]:
    """The evidence that a Provenance names: what an Observation cannot derive from."""
    return [one.ref for one in result.evidence if not one.ref.startswith(_DERIVED_FROM)]
