"""Medications that were ordered, taken or given: hormone therapy as salvage therapy."""

from collections.abc import Iterable, Iterator

import msgspec

from fhircryo.extract.context import NO_CODE, Context, Named, label_of
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

SALVAGE = "salvage-therapy"

#: How a medication is counted that only a Medication resource names.
BY_REFERENCE = "(by reference)"

_MEDICATION = msgspec.json.Decoder(Medication)

Dates = tuple[str | Period | None, ...]
Medicated = MedicationRequest | MedicationStatement | MedicationAdministration


def medication(resource: Medication, ref: str, context: Context) -> Item:
    """The item of a Medication: what others may refer to."""
    entry = _entry(_concepts(resource), context)
    if entry is None:
        label = next(_labels(_concepts(resource)), NO_CODE)
        return Named(ref, resource.meta, "", label).dropped(Reason.UNMAPPED_CODE)
    return Drug(**Named(ref, resource.meta, "", entry.label).fields())


def medication_request(resource: MedicationRequest, ref: str, context: Context) -> Item:
    """The item of a MedicationRequest: an order, begun when it was written."""
    statuses = context.mappings.statuses
    detail = _not_among(resource.status, statuses.medication_request, "status")
    detail = detail or _not_among(resource.intent, statuses.medication_request_intent, "intent")
    if resource.do_not_perform:
        detail = "not to be given"
    return _therapy(resource, ref, context, detail, (resource.authored_on,))


def medication_statement(resource: MedicationStatement, ref: str, context: Context) -> Item:
    """The item of a MedicationStatement: what he takes, from when it says."""
    known = context.mappings.statuses.medication_statement
    wrong = _not_among(resource.status, known, "status")
    dates = (resource.effective_date_time, resource.effective_period)
    return _therapy(resource, ref, context, wrong, dates)


def medication_administration(
    resource: MedicationAdministration, ref: str, context: Context
) -> Item:
    """The item of a MedicationAdministration: what he was given."""
    known = context.mappings.statuses.medication_administration
    wrong = _not_among(resource.status, known, "status")
    dates = (resource.effective_date_time, resource.effective_period)
    return _therapy(resource, ref, context, wrong, dates)


def _not_among(status: str | None, known: tuple[str, ...], element: str) -> str:
    """What is to be said of a status that does not count; empty where it does."""
    if status in known:
        return ""
    return f"{element} {status}" if status else f"no {element}"


def _therapy(resource: Medicated, ref: str, context: Context, wrong: str, dates: Dates) -> Item:
    """A salvage therapy; of another medication only the count."""
    own = resource.identifier is not None and context.is_own(resource.identifier)
    concepts = _of_resource(resource)
    entry = _entry(concepts, context)
    elsewhere = ""
    if entry is None:
        elsewhere = context.resolve(resource.medication_reference)
    if own or (entry is None and not elsewhere.startswith("Medication/")):
        reason = Reason.OWN_OUTPUT if own else Reason.UNMAPPED_CODE
        label = next(_labels(concepts), NO_CODE)
        return Named(ref, resource.meta, context.owner(resource.subject), label).dropped(reason)
    label = entry.label if entry is not None else BY_REFERENCE
    named = Named(ref, resource.meta, context.patient(resource.subject), label)
    made = therapy(named, context, wrong, dates)
    made.medication = elsewhere
    return made


def therapy(named: Named, context: Context, wrong: str, dates: Dates) -> Therapy:
    """A salvage therapy, with why it does not count; ``wrong``: what its status is to that."""
    written, when = context.first_date(*dates)
    problem, detail = None, ""
    if context.is_test(named.meta):
        problem = Reason.TEST_DATA
    elif not named.patient:
        problem = Reason.NO_SUBJECT
    elif wrong:
        problem, detail = Reason.STATUS, wrong
    elif when is None:
        detail = "no date" if written is None else "the date is not a FHIR date"
    return Therapy(when=when, problem=problem, detail=detail, **named.fields())


def _entry(concepts: Iterable[CodeableConcept | None], context: Context) -> CodeEntry | None:
    """The coding that makes it salvage therapy; a drug stands under no conditions."""
    for concept in concepts:
        for entry in context.entries(concept):
            if entry.concept == SALVAGE:
                return entry
    return None


def _labels(concepts: Iterable[CodeableConcept | None]) -> Iterator[str]:
    labels = map(label_of, concepts)
    return (label for label in labels if label != NO_CODE)


def _of_resource(resource: Medicated) -> list[CodeableConcept | None]:
    """What the resource itself says that the medication is; contained Medications included."""
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
