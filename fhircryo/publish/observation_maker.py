"""Makes the Observation of an endpoint."""

import hashlib
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from fhircryo.calendar import Span
from fhircryo.endpoints.labels import label
from fhircryo.endpoints.result import PART_UNITS, Absent, ComponentKey, Result, ResultComponent
from fhircryo.endpoints.value_types import ValueForm, ValueType
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.protocol import Protocol
from fhircryo.publish.origin import Origin
from fhircryo.publish.profiles import profile_key, profile_url
from fhircryo.publish.shapes import (
    OutCoding,
    OutComponent,
    OutConcept,
    OutIdentifier,
    OutMeta,
    OutObservation,
    OutPeriod,
    OutQuantity,
    OutRange,
    OutReference,
    number,
)
from fhircryo.record.items import Reason

UCUM = "http://unitsofmeasure.org"
#: https://terminology.hl7.org/CodeSystem-v2-0136.html
YES_NO = "http://terminology.hl7.org/CodeSystem/v2-0136"
#: https://terminology.hl7.org/CodeSystem-data-absent-reason.html
DATA_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
#: https://terminology.hl7.org/CodeSystem-observation-category.html
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
#: The code of the category of all endpoints, in our own CodeSystem.
CATEGORY_CODE = "derived-endpoint"
DEVICE_ID = "fhircryo"

#: FHIR lets an Observation derive from these types; the Provenance names all other evidence.
DERIVED_FROM = ("Observation", "QuestionnaireResponse")
_DERIVED_FROM = tuple(f"{kind}/" for kind in DERIVED_FROM)


def is_derived_from(ref: str) -> bool:
    """Whether an Observation can derive from what ``ref`` names."""
    return ref.startswith(_DERIVED_FROM)


def resource_of(ref: str) -> str:
    """The reference to the resource that holds what ``ref`` names, such as a contained resource."""
    return ref.partition("#")[0]


class Common:
    """What the Observations of one endpoint, instrument and time point have in common."""

    __slots__ = ("category", "code", "form", "meta", "name", "unit")

    def __init__(
        self,
        code: OutConcept,
        category: list[OutConcept],
        name: bytes,
        value_type: ValueType,
        meta: OutMeta,
    ) -> None:
        self.code = code
        self.category = category
        self.name = name
        self.form = value_type.form
        self.unit = value_type.unit
        self.meta = meta


class EndpointNames:
    """The identifiers of a patient's endpoints: the same in every run and on every machine."""

    def __init__(self, source_name: str, patient: str, index: str, protocol: str) -> None:
        name = "\x1f".join((source_name, patient, index, protocol)).encode()
        self._hashed = hashlib.blake2b(name, digest_size=16)

    def of(self, endpoint: bytes) -> str:
        """The identifier of an endpoint, by the name that its Observations have in common."""
        own = self._hashed.copy()
        own.update(endpoint)
        return "e" + own.hexdigest()


def endpoint_name(code: str, time_point: str) -> bytes:
    """The name that the Observations of an endpoint, instrument and time point have in common."""
    return f"\x1e{code}\x1f{time_point}".encode()


class ObservationMaker:
    """Makes the Observations of a run. Parts that many Observations share are made once.

    ``subject_system``: the system of the patient identifiers that are published with the subject;
    empty where none is.
    """

    def __init__(
        self, mappings: Mappings, protocol: Protocol, origin: Origin, subject_system: str = ""
    ) -> None:
        base = mappings.base
        self._base = base
        self._protocol = protocol
        self._source_name = origin.source_name
        self._scales = mappings.scales
        self._system = origin.identifier_system
        self._subject_system = subject_system
        tags = [OutCoding(origin.use_system, "research-use")]
        if origin.source_name:
            # Where two sources share a target, each retracts only its own endpoints.
            tags.append(OutCoding(origin.source_system, origin.source_name))
        self._tags = tags
        self._metas: dict[str, OutMeta] = {}
        derived = OutConcept([OutCoding(origin.category_system, CATEGORY_CODE)])
        survey = OutConcept([OutCoding(CATEGORY, "survey")])
        self._category = [derived]
        self._survey_category = [derived, survey]
        self._method = OutConcept(text=protocol.name)
        self._device = OutReference(f"Device/{DEVICE_ID}")
        self._common: dict[tuple[str, str, str], Common] = {}
        self._values: dict[tuple[str, str], OutConcept] = {}
        self._component_codes: dict[str, OutConcept] = {}
        self._yes_no = {
            True: OutConcept([OutCoding(YES_NO, "Y", "Yes")]),
            False: OutConcept([OutCoding(YES_NO, "N", "No")]),
        }
        self._constants: dict[tuple[str, bool | str], OutComponent] = {}
        self._instruments = {one.key: one.words for one in mappings.instruments}
        self._absent: dict[tuple[Absent, Reason], OutConcept] = {}

    def make(
        self, results: list[Result], patient: str, index: str, known_as: str = ""
    ) -> list[OutObservation]:
        """The Observations of a patient's results, in the form of a folder.

        ``patient``, ``index``: references to the patient and to the index procedure.
        ``known_as``: the patient's identifier, by which a target may match the patient.
        """
        names = self.names(patient, index)
        subject = self.subject(patient, known_as)
        part_of = [OutReference(index)]
        return [
            self.observation(result, names.of(self.common(result).name), subject, part_of)
            for result in results
        ]

    def names(self, patient: str, index: str) -> "EndpointNames":
        """The identifiers of a patient's endpoints."""
        return EndpointNames(self._source_name, patient, index, self._protocol.id)

    def subject(self, patient: str, known_as: str = "") -> OutReference:
        """The reference to a patient, with the identifier by which a target may match him."""
        identifier = OutIdentifier(self._subject_system, known_as) if known_as else None
        return OutReference(patient, identifier=identifier)

    def observation(
        self,
        result: Result,
        identifier: str,
        subject: OutReference,
        part_of: list[OutReference],
    ) -> OutObservation:
        """The Observation of a result, in the form of a folder."""
        common = self.common(result)
        observation = OutObservation(
            identifier,
            common.meta,
            [OutIdentifier(self._system, identifier)],
            "final" if result.final else "preliminary",
            common.category,
            common.code,
            subject,
            part_of,
            method=self._method,
            device=self._device,
        )
        if result.period:
            observation.effective_period = _period(result.start, result.end)
        else:
            observation.effective_date_time = result.start.isoformat()
        self._set_value(observation, result, common)
        if result.components:
            observation.component = [self._component(part) for part in result.components]
        refs = dict.fromkeys(
            resource_of(source.ref) for source in result.evidence if is_derived_from(source.ref)
        )
        if refs:
            observation.derived_from = [OutReference(ref) for ref in refs]
        return observation

    def common(self, result: Result) -> Common:
        """What the Observation has in common with others; made once."""
        key = (result.endpoint.key, result.instrument, result.time_point)
        try:
            return self._common[key]
        except KeyError:
            coding = OutCoding(f"{self._base}/CodeSystem/endpoint", result.code)
            common = self._common[key] = Common(
                OutConcept([coding], self._text(result)),
                self._survey_category if result.instrument else self._category,
                endpoint_name(result.code, result.time_point),
                result.endpoint.value_type,
                self._meta(profile_key(result.endpoint.value_type)),
            )
            return common

    def _meta(self, profile: str) -> OutMeta:
        """The profile, the permitted use and the source that the Observations of a type state."""
        try:
            return self._metas[profile]
        except KeyError:
            made = OutMeta([profile_url(profile, self._base)], self._tags)
            self._metas[profile] = made
            return made

    def _text(self, result: Result) -> str:
        """The endpoint's name for people, with its instrument where it has one."""
        words = label(result.endpoint, self._protocol)
        instrument = self._instruments.get(result.instrument, result.instrument)
        return f"{words}: {instrument}" if instrument else words

    def _set_value(self, observation: OutObservation, result: Result, common: Common) -> None:
        value = result.value
        if value is None:
            if result.absent is not None and result.reason is not None:
                observation.data_absent_reason = self._absent_reason(result.absent, result.reason)
        elif common.form is ValueForm.YES_NO:
            observation.value_codeable_concept = self._yes_no[bool(value)]
        elif isinstance(value, str):
            observation.value_codeable_concept = self._grade(result.endpoint.scale, value)
        elif common.form is ValueForm.QUANTITY:
            quantity = _quantity(value, common.unit, result.comparator)
            if result.high is None:
                observation.value_quantity = quantity
            else:
                high = _quantity(result.high, common.unit)
                observation.value_range = OutRange(quantity, high)
        else:
            observation.value_integer = int(value)

    def _absent_reason(self, absent: Absent, reason: Reason) -> OutConcept:
        try:
            return self._absent[absent, reason]
        except KeyError:
            ours = OutCoding(f"{self._base}/CodeSystem/reason", reason.value)
            made = OutConcept([OutCoding(DATA_ABSENT, absent.value), ours])
            self._absent[absent, reason] = made
            return made

    def _grade(self, name: str, grade: str) -> OutConcept:
        try:
            return self._values[name, grade]
        except KeyError:
            scale = self._scales[name]
            codings = [OutCoding(scale.system, grade)]
            codings += [
                OutCoding(code.system, code.code) for code in scale.codes if code.grade == grade
            ]
            made = self._values[name, grade] = OutConcept(codings)
            return made

    def _component(self, component: ResultComponent) -> OutComponent:
        value = component.value
        part = component.part
        if isinstance(value, bool | str):
            return self._constant(part, value)
        made = OutComponent(self._component_code(part))
        unit = PART_UNITS.get(part)
        if isinstance(value, Span):
            _set_days(made, value)
        elif unit is not None:
            made.value_quantity = _quantity(value, unit, component.comparator)
        else:
            made.value_integer = int(value)
        return made

    def _component_code(self, part: str) -> OutConcept:
        """The code of a component: a ``ComponentKey``, or an instrument's mark."""
        try:
            return self._component_codes[part]
        except KeyError:
            made = OutConcept([OutCoding(f"{self._base}/CodeSystem/component", str(part))])
            self._component_codes[part] = made
            return made

    def _constant(self, part: str, value: bool | str) -> OutComponent:
        """A component that many Observations share."""
        key = (part, value)
        try:
            return self._constants[key]
        except KeyError:
            made = OutComponent(self._component_code(part))
            if isinstance(value, bool):
                made.value_codeable_concept = self._yes_no[value]
            else:
                made.value_codeable_concept = self._time_point(value)
            self._constants[key] = made
            return made

    def _time_point(self, name: str) -> OutConcept:
        key = (ComponentKey.TIME_POINT, name)
        try:
            return self._values[key]
        except KeyError:
            coding = OutCoding(f"{self._base}/CodeSystem/time-point", name)
            made = self._values[key] = OutConcept([coding])
            return made


def _set_days(component: OutComponent, days: Span) -> None:
    """Set a precise day as a date, and a range of possible days as a period."""
    if days.precise:
        component.value_date_time = days.first.isoformat()
    else:
        component.value_period = _period(days.first, days.last)


@lru_cache(maxsize=1024)
def _period(start: date, end: date | None) -> OutPeriod:
    return OutPeriod(start.isoformat(), end.isoformat() if end is not None else None)


def _quantity(value: int | Decimal | Fraction, unit: str, comparator: str = "") -> OutQuantity:
    plain = value if type(value) is int else number(value)
    return OutQuantity(plain, unit, UCUM, unit, comparator or None)


def references(result: Result) -> list[str]:
    """The evidence that the Provenance names because an Observation cannot derive from it."""
    return [
        resource_of(source.ref) for source in result.evidence if not is_derived_from(source.ref)
    ]
