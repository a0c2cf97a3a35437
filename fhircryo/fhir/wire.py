"""The FHIR elements that are read, as msgspec structs; all other elements are skipped.

Numbers have the type ``Any``: the decoder's ``float_hook`` then makes decimals of the JSON text,
and a string in place of a number can still be recognised as a wrong type.
Source: https://hl7.org/fhir/R4/
"""

from decimal import Decimal
from typing import Any

import msgspec


class _Element(msgspec.Struct, rename="camel", gc=False):
    pass


class Extension(_Element):
    url: str | None = None
    extension: "list[Extension] | None" = None
    value_reference: "Reference | None" = None
    value_codeable_concept: "CodeableConcept | None" = None
    value_coding: "Coding | None" = None
    value_code: str | None = None
    value_decimal: Any = None
    value_integer: Any = None
    value_string: str | None = None


class Coding(_Element):
    system: str | None = None
    code: str | None = None
    display: str | None = None
    extension: list[Extension] | None = None


class CodeableConcept(_Element):
    coding: list[Coding] | None = None
    text: str | None = None


class Identifier(_Element):
    system: str | None = None
    value: str | None = None


class Reference(_Element):
    reference: str | None = None


class Period(_Element):
    start: str | None = None
    end: str | None = None


class Quantity(_Element):
    value: Any = None
    comparator: str | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None


class Meta(_Element):
    version_id: str | None = None
    last_updated: str | None = None
    security: list[Coding] | None = None


class Resource(_Element):
    """The elements that all resources have."""

    id: str | None = None
    meta: Meta | None = None


class PatientLink(_Element):
    other: Reference | None = None
    type: str | None = None


#: Security label of test data: https://terminology.hl7.org/CodeSystem-v3-ActReason.html
TEST_LABEL = ("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST")
#: The statuses of a DiagnosticReport that holds no more.
WITHDRAWN = ("entered-in-error", "cancelled")

#: An element that is rarely needed; ``decode_element`` decodes it on demand.
Undecoded = msgspec.Raw
ABSENT = msgspec.Raw(b"")


class Patient(Resource):
    identifier: list[Identifier] | None = None
    birth_date: str | None = None
    deceased_boolean: bool | None = None
    deceased_date_time: str | None = None
    # The extensions of a date of death; alone, it says that the date is not known.
    deceased_date_time_extensions: Undecoded = msgspec.field(
        default=ABSENT, name="_deceasedDateTime"
    )
    link: list[PatientLink] | None = None


class Observation(Resource):
    identifier: list[Identifier] | None = None
    status: str | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    effective_date_time: str | None = None
    effective_period: Period | None = None
    effective_instant: str | None = None
    issued: str | None = None
    value_quantity: Quantity | None = None
    value_string: str | None = None
    value_integer: Any = None
    value_codeable_concept: CodeableConcept | None = None
    data_absent_reason: CodeableConcept | None = None
    focus: list[Reference] | None = None
    part_of: list[Reference] | None = None
    category: Undecoded = ABSENT
    body_site: Undecoded = ABSENT
    method: Undecoded = ABSENT
    specimen: Undecoded = ABSENT
    contained: Undecoded = ABSENT
    component: Undecoded = ABSENT


class Procedure(Resource):
    identifier: list[Identifier] | None = None
    status: str | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    category: Undecoded = ABSENT
    body_site: Undecoded = ABSENT
    outcome: CodeableConcept | None = None
    part_of: Undecoded = ABSENT
    extension: Undecoded = ABSENT
    performed_date_time: str | None = None
    performed_period: Period | None = None
    occurrence_date_time: str | None = None
    occurrence_period: Period | None = None


class ProfiledMeta(Meta):
    profile: Undecoded = ABSENT


class Condition(Resource):
    meta: ProfiledMeta | None = None
    identifier: list[Identifier] | None = None
    clinical_status: Undecoded = ABSENT
    verification_status: CodeableConcept | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    category: Undecoded = ABSENT
    body_site: Undecoded = ABSENT
    onset_date_time: str | None = None
    onset_period: Period | None = None
    recorded_date: str | None = None
    extension: Undecoded = ABSENT


class Suspect(Reference):
    """A reference to a suspected cause; one that only identifies or names it is a suspect, too."""

    identifier: Identifier | None = None
    display: str | None = None


class Causality(_Element):
    """An assessment of a suspected cause; R4 has ``assessment``, R5 the other two."""

    assessment: CodeableConcept | None = None
    assessment_method: CodeableConcept | None = None
    entity_relatedness: CodeableConcept | None = None


class SuspectEntity(_Element):
    instance: Suspect | None = None
    instance_reference: Suspect | None = None
    instance_codeable_concept: CodeableConcept | None = None
    # R4 has a list, R5 has one.
    causality: list[Causality] | Causality | None = None


class AdverseEvent(Resource):
    # R4 has one identifier, R5 a list.
    identifier: list[Identifier] | Identifier | None = None
    status: str | None = None
    actuality: str | None = None
    category: list[CodeableConcept] | None = None
    event: CodeableConcept | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    date: str | None = None
    detected: str | None = None
    occurrence_date_time: str | None = None
    occurrence_period: Period | None = None
    recorded_date: str | None = None
    seriousness: CodeableConcept | None = None
    severity: CodeableConcept | None = None
    # R4 has one outcome, R5 a list.
    outcome: list[CodeableConcept] | CodeableConcept | None = None
    suspect_entity: list[SuspectEntity] | None = None
    extension: list[Extension] | None = None


class ComponentCode(_Element):
    """The code of a component, which says whether its other elements are needed."""

    code: CodeableConcept | None = None


class Component(ComponentCode):
    """A component of an Observation, with its own code and value."""

    value_quantity: Quantity | None = None
    value_string: str | None = None
    value_integer: Any = None
    value_codeable_concept: CodeableConcept | None = None
    data_absent_reason: CodeableConcept | None = None


class ShownReference(Reference):
    """A reference with its display text, which is read only where it can state a concept.

    Elsewhere the display text is often a person's name.
    """

    display: str | None = None


class Contained(_Element):
    """A contained resource; only the elements of a Specimen are read."""

    id: str | None = None
    type: CodeableConcept | None = None


class Answer(_Element):
    value_integer: Any = None
    value_decimal: Any = None
    value_string: str | None = None
    value_coding: Coding | None = None
    value_quantity: Quantity | None = None
    value_boolean: Any = None
    value_date: Any = None
    value_date_time: Any = None
    value_time: Any = None
    value_uri: Any = None
    value_attachment: Any = None
    value_reference: Any = None
    extension: list[Extension] | None = None
    item: "list[ResponseItem] | None" = None


class ResponseItem(_Element):
    link_id: str | None = None
    answer: list[Answer] | None = None
    item: "list[ResponseItem] | None" = None


class QuestionnaireResponse(Resource):
    # R4 has one identifier, R5 a list.
    identifier: list[Identifier] | Identifier | None = None
    questionnaire: str | None = None
    status: str | None = None
    subject: Reference | None = None
    authored: str | None = None
    item: list[ResponseItem] | None = None
    contained: Undecoded = ABSENT


class ContainedQuestionnaire(_Element):
    """A contained resource; only the canonical URL of a Questionnaire is read."""

    resource_type: str | None = None
    id: str | None = None
    url: str | None = None


class CodeableReference(_Element):
    """R5: a concept, or a reference to what stands for it."""

    concept: CodeableConcept | None = None
    reference: Reference | None = None


class Ingredient(_Element):
    # R4 has the concept, R5 the codeable reference.
    item_codeable_concept: CodeableConcept | None = None
    item: CodeableReference | None = None


class Medication(Resource):
    code: CodeableConcept | None = None
    ingredient: list[Ingredient] | None = None


class _Medicated(Resource):
    """The elements of resources that record that a medication was ordered, taken or given."""

    identifier: list[Identifier] | None = None
    status: str | None = None
    medication_codeable_concept: CodeableConcept | None = None
    medication_reference: Reference | None = None
    medication: CodeableReference | None = None
    subject: Reference | None = None
    # Contained resources have any type; one is decoded only if it is referred to.
    contained: list[msgspec.Raw] | None = None


class MedicationRequest(_Medicated):
    intent: str | None = None
    do_not_perform: bool | None = None
    authored_on: str | None = None
    dosage_instruction: Undecoded = ABSENT


class Repeat(_Element):
    bounds_period: Period | None = None


class Timing(_Element):
    repeat: Repeat | None = None


class Dosage(_Element):
    """A dosage instruction; only the period that bounds it is read."""

    timing: Timing | None = None


class MedicationStatement(_Medicated):
    effective_date_time: str | None = None
    effective_period: Period | None = None


class MedicationAdministration(_Medicated):
    effective_date_time: str | None = None
    effective_period: Period | None = None
    # R5 spells it with one r: https://hl7.org/fhir/R5/medicationadministration.html
    occurence_date_time: str | None = None
    occurence_period: Period | None = None


class BundleEntry(_Element):
    full_url: str | None = None
    # msgspec does not allow Raw in a union, so an empty value means that there is no resource.
    resource: Undecoded = ABSENT
    request: Undecoded = ABSENT
    response: Undecoded = ABSENT


class Bundle(_Element):
    type: Any = None
    meta: Undecoded = ABSENT
    entry: list[BundleEntry] | None = None


class BundleRequest(_Element):
    """What an entry of a Bundle asks for, or asked for."""

    method: str | None = None
    url: str | None = None


class BundleResponse(_Element):
    etag: str | None = None
    last_modified: str | None = None


class ParametersPart(_Element):
    resource: Undecoded = ABSENT
    part: "list[ParametersPart] | None" = None


class Parameters(_Element):
    parameter: list[ParametersPart] | None = None


class ReportOutline(_Element):
    """Whether a DiagnosticReport contains anything, which few do, and whether it was withdrawn."""

    status: Any = None
    contained: Undecoded = ABSENT


class DiagnosticReport(Resource):
    status: str | None = None
    subject: Reference | None = None
    effective_date_time: str | None = None
    effective_period: Period | None = None
    result: list[Reference] | None = None
    contained: Undecoded = ABSENT


class Panel(_Element):
    """An Observation as far as it names its members."""

    has_member: list[Reference] | None = None


class TypeAndId(_Element):
    """The type and id of a resource."""

    resource_type: str | None = None
    id: str | None = None


#: The types that are read, with the decoder of each.
DECODERS: dict[str, msgspec.json.Decoder[Resource]] = {
    kind.__name__: msgspec.json.Decoder(kind, float_hook=Decimal)
    for kind in (
        Patient,
        Observation,
        Procedure,
        Condition,
        AdverseEvent,
        QuestionnaireResponse,
        Medication,
        MedicationRequest,
        MedicationStatement,
        MedicationAdministration,
    )
}
CONCEPTS = msgspec.json.Decoder(list[CodeableConcept] | CodeableConcept, float_hook=Decimal)
COMPONENT_CODES = msgspec.json.Decoder(list[ComponentCode] | ComponentCode)
COMPONENTS = msgspec.json.Decoder(list[Component] | Component, float_hook=Decimal)
REFERENCES = msgspec.json.Decoder(list[ShownReference] | ShownReference)
CONTAINED = msgspec.json.Decoder(list[Contained] | Contained, float_hook=Decimal)
QUESTIONNAIRES = msgspec.json.Decoder(list[ContainedQuestionnaire] | ContainedQuestionnaire)
EXTENSIONS = msgspec.json.Decoder(list[Extension] | Extension, float_hook=Decimal)
DOSAGES = msgspec.json.Decoder(list[Dosage] | Dosage)
CANONICALS = msgspec.json.Decoder(list[str] | str)
BUNDLE = msgspec.json.Decoder(Bundle)
BUNDLE_META = msgspec.json.Decoder(Meta)
BUNDLE_REQUEST = msgspec.json.Decoder(BundleRequest)
BUNDLE_RESPONSE = msgspec.json.Decoder(BundleResponse)
PARAMETERS = msgspec.json.Decoder(Parameters)
REPORT_OUTLINE = msgspec.json.Decoder(ReportOutline)
DIAGNOSTIC_REPORT = msgspec.json.Decoder(DiagnosticReport)
PANEL = msgspec.json.Decoder(Panel)
HEAD = msgspec.json.Decoder(TypeAndId)
ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
#: Checks that a text is one JSON document.
ANYTHING = msgspec.json.Decoder(msgspec.Raw)
