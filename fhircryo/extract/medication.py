"""Extracts medications that were ordered, taken or administered as salvage therapy."""

from collections.abc import Iterable, Iterator

import msgspec

from fhircryo.extract.context import NO_CODE, Context, Named, label_of, only_counted
from fhircryo.fhir.wire import (
    HEAD,
    CodeableConcept,
    Medication,
    MedicationAdministration,
    MedicationRequest,
    MedicationStatement,
    Period,
)
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.record.items import Drug, Item, Reason, Therapy

SALVAGE_THERAPY = "salvage-therapy"

#: The label of a medication that is identified only by a reference to a Medication.
BY_REFERENCE = "(by reference)"

_MEDICATION = msgspec.json.Decoder(Medication)

Dates = tuple[str | Period | None, ...]
Medicated = MedicationRequest | MedicationStatement | MedicationAdministration


def medication(resource: Medication, ref: str, context: Context) -> Item:
    """Return the item of a Medication, to which other resources may refer."""
    entry = _entry(_concepts(resource), context)
    if entry is None:
        label = next(_labels(_concepts(resource)), NO_CODE)
        return Named(ref, resource.meta, "", label).dropped(Reason.UNMAPPED_CODE)
    return Drug(**Named(ref, resource.meta, "", entry.label).fields())


def medication_request(resource: MedicationRequest, ref: str, context: Context) -> Item:
    """Return the item of a MedicationRequest: an order, dated by ``authoredOn``."""
    statuses = context.mappings.statuses
    detail = _not_among(resource.status, statuses.medication_request, "status")
    detail = detail or _not_among(resource.intent, statuses.medication_request_intent, "intent")
    if resource.do_not_perform:
        detail = "not to be given"
    return _therapy(resource, ref, context, detail, (resource.authored_on,))


def medication_statement(resource: MedicationStatement, ref: str, context: Context) -> Item:
    """Return the item of a MedicationStatement: what the patient takes."""
    known = context.mappings.statuses.medication_statement
    status_problem = _not_among(resource.status, known, "status")
    dates = (resource.effective_date_time, resource.effective_period)
    return _therapy(resource, ref, context, status_problem, dates)


def medication_administration(
    resource: MedicationAdministration, ref: str, context: Context
) -> Item:
    """Return the item of a MedicationAdministration: what the patient was given."""
    known = context.mappings.statuses.medication_administration
    status_problem = _not_among(resource.status, known, "status")
    dates = (resource.effective_date_time, resource.effective_period)
    return _therapy(resource, ref, context, status_problem, dates)


def _not_among(status: str | None, known: tuple[str, ...], element: str) -> str:
    """Return why a status does not count; empty if it does."""
    if status in known:
        return ""
    return f"{element} {status}" if status else f"no {element}"


def _therapy(
    resource: Medicated, ref: str, context: Context, status_problem: str, dates: Dates
) -> Item:
    """Return a salvage therapy, or for another medication an item that is only counted."""
    own = resource.identifier is not None and context.is_own(resource.identifier)
    concepts = _of_resource(resource)
    entry = _entry(concepts, context)
    referenced = ""
    if entry is None:
        referenced = context.resolve(resource.medication_reference)
    if own or (entry is None and not referenced.startswith("Medication/")):
        label = next(_labels(concepts), NO_CODE)
        return only_counted(resource, ref, context, label, own=own)
    label = entry.label if entry is not None else BY_REFERENCE
    named = Named(ref, resource.meta, context.patient(resource.subject), label)
    salvage = therapy(named, context, status_problem, dates)
    salvage.medication = referenced
    return salvage


def therapy(named: Named, context: Context, status_problem: str, dates: Dates) -> Therapy:
    """Return a salvage therapy, with the reason why it does not count, if any.

    ``status_problem``: why its status does not count (empty: it does).
    """
    written, when = context.first_date(*dates)
    problem, detail = None, ""
    if context.is_test(named.meta):
        problem = Reason.TEST_DATA
    elif not named.patient:
        problem = Reason.NO_SUBJECT
    elif status_problem:
        problem, detail = Reason.STATUS, status_problem
    elif when is None:
        detail = "no date" if written is None else "the date is not a FHIR date"
    return Therapy(when=when, problem=problem, detail=detail, **named.fields())


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
    reference = resource.medication_reference
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
    return [resource.code, *(one.item_codeable_concept for one in resource.ingredient or ())]
