"""Extracts AdverseEvents: complications with their grades."""

from collections.abc import Iterator

from fhircryo.extract.context import Context, Named, label_of, resolved
from fhircryo.extract.grades import GradeStatement, by_extensions, grades_of
from fhircryo.fhir.wire import AdverseEvent as Resource
from fhircryo.fhir.wire import Reference
from fhircryo.record.items import AdverseEvent, Item, Reason

_ENTERED_IN_ERROR = "entered-in-error"  # R5 has a status; R4 has none


def adverse_event(resource: Resource, ref: str, context: Context) -> Item:
    """Return the item of an AdverseEvent."""
    named = Named(ref, resource.meta, context.patient(resource.subject), label_of(resource.event))
    if context.is_own(resource.identifier):
        return named.dropped(Reason.OWN_OUTPUT)
    _, when = context.first_date(
        resource.date,
        resource.occurrence_date_time,
        resource.occurrence_period,
        resource.detected,
    )
    suspects = _suspects(resource)
    return AdverseEvent(
        when=when,
        has_suspects=bool(suspects),
        suspects=tuple(resolved(context, suspects, "Procedure")),
        grades=grades_of(context, _grade_statements(resource, context)),
        problem=_problem(resource, named, context),
        taken_as_actual=resource.actuality is None,
        **named.fields(),
    )


def _problem(resource: Resource, named: Named, context: Context) -> Reason | None:
    if context.is_test(resource.meta):
        return Reason.TEST_DATA
    if not named.patient:
        return Reason.NO_SUBJECT
    actual = context.mappings.statuses.adverse_event_actuality
    if resource.actuality is not None and resource.actuality not in actual:
        return Reason.STATUS
    return Reason.STATUS if resource.status == _ENTERED_IN_ERROR else None


def _suspects(resource: Resource) -> list[Reference]:
    """Return the suspected causes.

    A suspect that is only a code gives an empty reference: it cannot be resolved, but it counts as
    a recorded suspect.
    """
    found: list[Reference] = []
    for entity in resource.suspect_entity or ():
        for instance in (entity.instance, entity.instance_reference):
            if instance is not None:
                found.append(instance)
        if entity.instance_codeable_concept is not None:
            found.append(Reference())
    return found


def _grade_statements(resource: Resource, context: Context) -> Iterator[GradeStatement]:
    """Yield everything in the resource that may state a grade."""
    for concept in (resource.severity, resource.event, resource.code, resource.seriousness):
        yield GradeStatement(concept)
    yield from map(GradeStatement, resource.category or ())
    yield from by_extensions(resource.extension, context)
