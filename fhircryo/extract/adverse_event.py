"""Extracts AdverseEvents: complications with their grades."""

from collections.abc import Iterable, Iterator

from fhircryo.extract.context import Context, Named, is_present, label_of, resolved
from fhircryo.extract.grades import GradeStatement, by_extensions, grades_of
from fhircryo.fhir.wire import AdverseEvent as Resource
from fhircryo.fhir.wire import Causality, CodeableConcept, Reference, Suspect
from fhircryo.record.items import AdverseEvent, Item, Reason

_ENTERED_IN_ERROR = "entered-in-error"  # R5 has a status; R4 has none


def adverse_event(resource: Resource, ref: str, context: Context) -> Item:
    """Return the item of an AdverseEvent."""
    label = label_of(resource.event or resource.code)
    named = Named(ref, resource.meta, context.patient(resource.subject), label)
    if context.is_own(resource.identifier):
        return named.dropped(Reason.OWN_OUTPUT)
    _, when = context.first_date(
        resource.date,
        resource.occurrence_date_time,
        resource.occurrence_period,
        resource.detected,
    )
    recorded = None
    if when is None and resource.recorded_date:
        recorded = context.dates.read(resource.recorded_date)
    suspects = list(_suspects(resource))
    suspected = [
        reference for reference, causalities in suspects if not _is_unrelated(causalities, context)
    ]
    return AdverseEvent(
        when=when,
        has_suspects=bool(suspects),
        suspects=tuple(resolved(context, suspected, "Procedure")),
        grades=_grades(resource, context),
        recorded=recorded,
        kinds=context.complication_kinds((resource.event, resource.code)),
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


_Suspicion = tuple[Reference | None, Iterable[Causality]]


def _suspects(resource: Resource) -> Iterator[_Suspicion]:
    """Yield the suspected causes, each with the assessments of it.

    A suspect that is only a code has no reference: it cannot be resolved, but it counts as a
    recorded suspect.
    """
    for entity in resource.suspect_entity or ():
        assessed = entity.causality or ()
        causalities = (assessed,) if isinstance(assessed, Causality) else assessed
        for instance in (entity.instance, entity.instance_reference):
            if instance is not None and _names_something(instance):
                yield instance, causalities
        if is_present(entity.instance_codeable_concept):
            yield None, causalities


def _names_something(suspect: Suspect) -> bool:
    """Return whether a suspect is there; one that holds only an extension is absent."""
    return bool(suspect.reference or suspect.identifier or suspect.display)


def _is_unrelated(causalities: Iterable[Causality], context: Context) -> bool:
    """Return whether a suspect is assessed, and in every assessment as unrelated."""
    assessments = [
        [concept for concept in _assessments(one) if is_present(concept)] for one in causalities
    ]
    stated = [concepts for concepts in assessments if concepts]
    return bool(stated) and all(
        any(context.means(concept, "causality-unrelated") for concept in concepts)
        for concepts in stated
    )


def _assessments(one: Causality) -> tuple[CodeableConcept | None, ...]:
    """Return what one assessment says; R5 has the method beside the relatedness."""
    return one.assessment, one.entity_relatedness, one.assessment_method


def _grades(resource: Resource, context: Context) -> tuple[tuple[str, str], ...]:
    """Return the stated grades, and of a fatal event the grades that stand for death."""
    grades = grades_of(context, _grade_statements(resource, context))
    outcomes = resource.outcome or ()
    if isinstance(outcomes, CodeableConcept):
        outcomes = [outcomes]
    if not any(context.means(outcome, "outcome-fatal") for outcome in outcomes):
        return grades
    scales = context.mappings.scales
    fatal = {(name, scale.fatal) for name, scale in scales.items() if scale.fatal}
    return tuple(sorted({*grades, *fatal}))


def _grade_statements(resource: Resource, context: Context) -> Iterator[GradeStatement]:
    """Yield everything in the resource that may state a grade."""
    for concept in (resource.severity, resource.event, resource.code, resource.seriousness):
        yield GradeStatement(concept)
    yield from map(GradeStatement, resource.category or ())
    yield from by_extensions(resource.extension, context)
