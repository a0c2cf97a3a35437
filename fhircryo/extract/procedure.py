"""Extracts Procedures: candidates for the index procedure, and salvage therapies."""

from fhircryo.extract.context import Context, Named, date_problem, label_of, only_counted
from fhircryo.extract.medication import SALVAGE_THERAPY, Dates, therapy
from fhircryo.fhir.wire import Procedure
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.record.items import Item, Reason, Treatment, VagueTreatment

# If a Procedure has several of these meanings, the first decides.
_PRECEDENCE = ("cryoablation", SALVAGE_THERAPY)


def procedure(resource: Procedure, ref: str, context: Context) -> Item:
    """Return the item of a Procedure."""
    entry = _meaning(resource, context)
    own = resource.identifier is not None and context.is_own(resource.identifier)
    if entry is None or own:
        return only_counted(resource, ref, context, label_of(resource.code), own=own)
    named = Named(ref, resource.meta, context.patient(resource.subject), entry.label)
    if entry.concept == SALVAGE_THERAPY:
        known = context.mappings.statuses.salvage_procedure
        status_problem = "" if resource.status in known else resource.status or "no status"
        return therapy(named, context, status_problem, _dates(resource))
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
    return Treatment(
        when=when,
        completed=resource.status in statuses.procedure_complete,
        successful=not context.means(resource.outcome, "procedure-unsuccessful"),
        **named.fields(),
    )


def _dates(resource: Procedure) -> Dates:
    return (
        resource.performed_date_time,
        resource.performed_period,
        resource.occurrence_date_time,
        resource.occurrence_period,
    )


def _meaning(resource: Procedure, context: Context) -> CodeEntry | None:
    """Return the entry that decides what the Procedure is; None if it is unmapped."""
    best = None
    for entry in context.entries(resource.code, resource):
        if entry.concept not in _PRECEDENCE:
            continue
        if best is None or entry.concept == _PRECEDENCE[0] != best.concept:
            best = entry
    return best
