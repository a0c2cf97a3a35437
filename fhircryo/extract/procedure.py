"""Procedures: candidates for the index procedure, and other treatment of the cancer."""

from fhircryo.extract.context import Context, Named, date_problem, label_of
from fhircryo.extract.medication import SALVAGE, Dates, therapy
from fhircryo.fhir.wire import Procedure
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.record.items import Item, Reason, Treatment, VagueTreatment

# The first of these that a Procedure is coded as decides what it is.
_PRECEDENCE = ("cryoablation", SALVAGE)


def procedure(resource: Procedure, ref: str, context: Context) -> Item:
    """The item of a Procedure."""
    entry = _meaning(resource, context)
    own = resource.identifier is not None and context.is_own(resource.identifier)
    if entry is None or own:
        reason = Reason.OWN_OUTPUT if own else Reason.UNMAPPED_CODE
        owner = context.owner(resource.subject)
        return Named(ref, resource.meta, owner, label_of(resource.code)).dropped(reason)
    named = Named(ref, resource.meta, context.patient(resource.subject), entry.label)
    if entry.concept == SALVAGE:
        known = context.mappings.statuses.salvage_procedure
        wrong = "" if resource.status in known else resource.status or "no status"
        return therapy(named, context, wrong, _dates(resource))
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
    """The coding that decides, together with what it may have to stand with."""
    best = None
    for entry in context.entries(resource.code, resource):
        if entry.concept not in _PRECEDENCE:
            continue
        if best is None or entry.concept == _PRECEDENCE[0] != best.concept:
            best = entry
    return best
