"""Extracts Procedures: candidates for the index procedure, salvage therapies, radiotherapy."""

from fhircryo.extract.context import (
    Context,
    Named,
    date_problem,
    label_of,
    only_counted,
    resolved,
)
from fhircryo.extract.therapy import (
    SALVAGE_THERAPY,
    Course,
    Dates,
    end_of,
    procedure_kind,
    therapy,
)
from fhircryo.fhir.decode import decode_element
from fhircryo.fhir.wire import EXTENSIONS, REFERENCES, Extension, Procedure
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.record.items import Item, Reason, TherapyKind, Treatment, VagueTreatment

_RADIOTHERAPY = "prostate-radiotherapy"
# If a Procedure has several of these meanings, the first decides.
_PRECEDENCE = ("cryoablation", SALVAGE_THERAPY, _RADIOTHERAPY)

_MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition"
#: The modality of a course of radiotherapy, and the extension that holds it:
#: https://hl7.org/fhir/us/mcode/StructureDefinition-mcode-radiotherapy-modality-and-technique.html
MODALITY = f"{_MCODE}/mcode-radiotherapy-modality"
MODALITY_AND_TECHNIQUE = f"{_MCODE}/mcode-radiotherapy-modality-and-technique"
_UNSPECIFIED = "unspecified"


def procedure(resource: Procedure, ref: str, context: Context) -> Item:
    """Return the item of a Procedure."""
    entry = _meaning(resource, context)
    own = resource.identifier is not None and context.is_own(resource.identifier)
    if entry is None or own:
        return only_counted(resource, ref, context, label_of(resource.code), own=own)
    named = Named(ref, resource.meta, context.patient(resource.subject), entry.label)
    if entry.concept != _PRECEDENCE[0]:
        return _therapy(resource, named, entry, context)
    if context.is_test(resource.meta):
        return named.not_used(Reason.TEST_DATA)
    if not named.patient:
        return named.not_used(Reason.NO_SUBJECT)
    statuses = context.mappings.statuses
    if resource.status not in statuses.procedure:
        return named.not_used(Reason.STATUS, resource.status or "no status")
    written, when = context.first_date(*_dates(resource))
    if when is None:
        return date_problem(named, written)
    if not when.precise:
        return VagueTreatment(
            when=when,
            reason=Reason.IMPRECISE_DATE,
            detail=str(written),
            **named.fields(),
        )
    sessions = resolved(context, decode_element(REFERENCES, resource.part_of), "Procedure")
    return Treatment(
        when=when,
        completed=resource.status in statuses.procedure_complete,
        successful=not context.means(resource.outcome, "procedure-unsuccessful"),
        sessions=tuple(sessions),
        **named.fields(),
    )


def _therapy(resource: Procedure, named: Named, entry: CodeEntry, context: Context) -> Item:
    """Return a salvage therapy or radiotherapy of the prostate, which is a local one."""
    known = context.mappings.statuses.salvage_procedure
    course = Course(
        resource.status,
        _dates(resource),
        end_of(context, resource.performed_period, resource.occurrence_period),
        "" if resource.status in known else resource.status or "no status",
    )
    if entry.concept == SALVAGE_THERAPY:
        return therapy(named, context, course, procedure_kind(entry))
    found = therapy(named, context, course, TherapyKind.LOCAL)
    found.modality = _modality(resource, entry, context)
    return found


def _modality(resource: Procedure, entry: CodeEntry, context: Context) -> str:
    """Return the modality that the code states, else that of mCODE's extension."""
    if entry.kind != _UNSPECIFIED:
        return entry.kind
    stated: list[Extension] = []
    for one in decode_element(EXTENSIONS, resource.extension):
        if one.url == MODALITY_AND_TECHNIQUE:
            stated += [part for part in one.extension or () if part.url == MODALITY]
    modalities = {
        found.kind
        for one in stated
        for found in context.entries(one.value_codeable_concept, resource)
        if found.concept == _RADIOTHERAPY and found.kind != _UNSPECIFIED
    }
    return modalities.pop() if len(modalities) == 1 else _UNSPECIFIED


def _dates(resource: Procedure) -> Dates:
    return (
        resource.performed_date_time,
        resource.performed_period,
        resource.occurrence_date_time,
        resource.occurrence_period,
    )


def _meaning(resource: Procedure, context: Context) -> CodeEntry | None:
    """Return the entry that decides what the Procedure is; None if it is unmapped."""
    entries = context.entries(resource.code, resource)
    found = [entry for entry in entries if entry.concept in _PRECEDENCE]
    if not found:
        return None
    # Of two codes of radiotherapy the one that states a modality decides.
    return min(found, key=lambda one: (_PRECEDENCE.index(one.concept), one.kind == _UNSPECIFIED))
