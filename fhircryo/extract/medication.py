"""Extracts medications that were ordered, taken or administered as salvage therapy."""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from fhircryo.calendar import Span
from fhircryo.extract.context import NO_CODE, Context, Named, label_of, only_counted
from fhircryo.extract.therapy import SALVAGE_THERAPY, Course, drug_kind, end_of, therapy
from fhircryo.fhir.decode import decode_element
from fhircryo.fhir.wire import (
    DOSAGES,
    HEAD,
    CodeableConcept,
    Medication,
    MedicationAdministration,
    MedicationRequest,
    MedicationStatement,
    Reference,
)
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.record.items import Drug, Item, Reason

#: The label of a medication that is identified only by a reference to a Medication.
BY_REFERENCE = "(by reference)"

_MEDICATION = msgspec.json.Decoder(Medication)

Medicated = MedicationRequest | MedicationStatement | MedicationAdministration


def medication(resource: Medication, ref: str, context: Context) -> Item:
    """Return the item of a Medication, to which other resources may refer."""
    entry = _entry(_concepts(resource), context)
    if entry is None:
        label = next(_labels(_concepts(resource)), NO_CODE)
        return Named(ref, resource.meta, "", label).dropped(Reason.UNMAPPED_CODE)
    named = Named(ref, resource.meta, "", entry.label)
    return Drug(kind=drug_kind(entry), **named.fields())


def medication_request(resource: MedicationRequest, ref: str, context: Context) -> Item:
    """Return the item of a MedicationRequest: an order, dated by ``authoredOn``."""
    statuses = context.mappings.statuses
    detail = _not_among(resource.status, statuses.medication_request, "status")
    detail = detail or _not_among(resource.intent, statuses.medication_request_intent, "intent")
    if resource.do_not_perform:
        detail = "not to be given"

    def course() -> Course:
        end = _end_of_dosages(resource, context)
        return Course(resource.status, (resource.authored_on,), end, detail)

    return _therapy(resource, ref, context, course)


def medication_statement(resource: MedicationStatement, ref: str, context: Context) -> Item:
    """Return the item of a MedicationStatement: what the patient takes."""
    known = context.mappings.statuses.medication_statement

    def course() -> Course:
        return Course(
            resource.status,
            (resource.effective_date_time, resource.effective_period),
            end_of(context, resource.effective_period),
            _not_among(resource.status, known, "status"),
        )

    return _therapy(resource, ref, context, course)


def medication_administration(
    resource: MedicationAdministration, ref: str, context: Context
) -> Item:
    """Return the item of a MedicationAdministration: what the patient was given."""
    known = context.mappings.statuses.medication_administration

    def course() -> Course:
        return Course(
            resource.status,
            (
                resource.effective_date_time,
                resource.effective_period,
                resource.occurence_date_time,
                resource.occurence_period,
            ),
            end_of(context, resource.effective_period, resource.occurence_period),
            _not_among(resource.status, known, "status"),
        )

    return _therapy(resource, ref, context, course)


def _end_of_dosages(resource: MedicationRequest, context: Context) -> Span | None:
    """Return the end of the period in which an order is to be taken."""
    timings = [one.timing for one in decode_element(DOSAGES, resource.dosage_instruction)]
    repeats = [timing.repeat for timing in timings if timing is not None]
    return end_of(context, *[repeat.bounds_period for repeat in repeats if repeat is not None])


def _not_among(status: str | None, known: tuple[str, ...], element: str) -> str:
    """Return why a status does not count; empty if it does."""
    if status in known:
        return ""
    return f"{element} {status}" if status else f"no {element}"


def _therapy(resource: Medicated, ref: str, context: Context, course: Callable[[], Course]) -> Item:
    """Return a salvage therapy, or for another medication an item that is only counted.

    ``course`` is called for a therapy only.
    """
    own = resource.identifier is not None and context.is_own(resource.identifier)
    concepts = _of_resource(resource)
    entry = _entry(concepts, context)
    referenced = ""
    if entry is None:
        referenced = context.resolve(_reference(resource))
    if own or (entry is None and not referenced.startswith("Medication/")):
        label = next(_labels(concepts), NO_CODE)
        return only_counted(resource, ref, context, label, own=own)
    label = entry.label if entry is not None else BY_REFERENCE
    named = Named(ref, resource.meta, context.patient(resource.subject), label)
    # Where only a Medication says which drug it is, that decides on the kind.
    salvage = therapy(named, context, course(), drug_kind(entry))
    salvage.medication = referenced
    salvage.order = isinstance(resource, MedicationRequest)
    return salvage


def _reference(resource: Medicated) -> Reference | None:
    """Return the reference to a Medication, of R4 or of R5."""
    if resource.medication_reference is not None or resource.medication is None:
        return resource.medication_reference
    return resource.medication.reference


def _entry(concepts: Iterable[CodeableConcept | None], context: Context) -> CodeEntry | None:
    """Return the entry for salvage therapy; a code with conditions never counts for a drug."""
    for concept in concepts:
        for entry in context.entries(concept):
            if entry.concept == SALVAGE_THERAPY:
                return entry
    return None


def _labels(concepts: Iterable[CodeableConcept | None]) -> Iterator[str]:
    labels = map(label_of, concepts)
    return (label for label in labels if label != NO_CODE)


def _of_resource(resource: Medicated) -> list[CodeableConcept | None]:
    """Return the codes of the medication in the resource, including contained Medications."""
    concepts: list[CodeableConcept | None] = [resource.medication_codeable_concept]
    if resource.medication is not None:
        concepts.append(resource.medication.concept)
    reference = _reference(resource)
    text = reference.reference if reference is not None else None
    if text and text.startswith("#"):
        for raw in resource.contained or ():
            concepts += _contained(raw, text[1:])
    return concepts


def _contained(raw: msgspec.Raw, name: str) -> list[CodeableConcept | None]:
    try:
        head = HEAD.decode(raw)
        if head.resource_type != Medication.__name__ or head.id not in (name, f"#{name}"):
            return []
        return _concepts(_MEDICATION.decode(raw))
    except msgspec.MsgspecError:
        return []


def _concepts(resource: Medication) -> list[CodeableConcept | None]:
    concepts = [resource.code]
    for one in resource.ingredient or ():
        concepts.append(one.item_codeable_concept)
        if one.item is not None:
            concepts.append(one.item.concept)
    return concepts
