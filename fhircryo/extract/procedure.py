"""Procedures: candidates for the index procedure."""

from fhircryo.extract.context import Context, Named, date_problem, label_of
from fhircryo.fhir.wire import Procedure
from fhircryo.mapping.load import CodeEntry
from fhircryo.model import Item, Reason, Treatment


def procedure(resource: Procedure, ref: str, context: Context) -> Item:
    """The item of a Procedure."""
    entry = _index_code(resource, context)
    own = resource.identifier is not None and context.is_own(resource.identifier)
    if entry is None or own:
        reason = Reason.OWN_OUTPUT if own else Reason.UNMAPPED_CODE
        owner = context.owner(resource.subject)
        return Named(ref, resource.meta, owner, label_of(resource.code)).dropped(reason)
    named = Named(ref, resource.meta, context.patient(resource.subject), entry.label)
    if context.is_test(resource.meta):
        return named.not_used(Reason.TEST_DATA)
    if not named.patient:
        return named.not_used(Reason.NO_SUBJECT)
    statuses = context.mappings.statuses
    if resource.status not in statuses.procedure:
        return named.not_used(Reason.STATUS, resource.status or "no status")
    written, when = context.first_date(
        resource.performed_date_time,
        resource.performed_period,
        resource.occurrence_date_time,
        resource.occurrence_period,
    )
    if when is None:
        return date_problem(named, written)
    if not when.precise:
        return named.not_used(Reason.IMPRECISE_DATE, str(written))
    return Treatment(
        when=when,
        completed=resource.status in statuses.procedure_complete,
        successful=not context.means(resource.outcome, "procedure-unsuccessful"),
        **named.fields(),
    )


def _index_code(resource: Procedure, context: Context) -> CodeEntry | None:
    """The coding that makes it a cryoablation, with the body site that it may need."""
    for entry in context.entries(resource.code):
        if entry.concept != "cryoablation":
            continue
        if not entry.body_sites:
            return entry
        for site in resource.body_site or ():
            for coding in site.coding or ():
                if (coding.system, coding.code) in entry.body_sites:
                    return entry
    return None
