"""Extracts Observations: PSA results, findings, gradings, scores, and what else they state."""

from typing import NamedTuple

from fhircryo.calendar import Span
from fhircryo.extract.characteristic import CAUSE_OF_DEATH, KINDS, cause_of_death, characteristic
from fhircryo.extract.context import (
    Context,
    Named,
    date_problem,
    is_present,
    label_of,
    only_counted,
    resolved,
)
from fhircryo.extract.finding import FINDING_KINDS, Coded, finding
from fhircryo.extract.grades import by_components, by_value, grades_of
from fhircryo.extract.numbers import number
from fhircryo.extract.psa import PsaStatement, agreed_result, empty_result, set_result
from fhircryo.fhir.decode import decode_element
from fhircryo.fhir.wire import COMPONENT_CODES, COMPONENTS, CodeableConcept, Observation
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.mapping.concepts import GRADINGS, SCORE
from fhircryo.record.items import (
    Grading,
    Item,
    NotUsed,
    Reason,
    Response,
    Score,
)

_EXCLUDED, _NOT_CONVERTIBLE, _PSA = "psa-excluded", "psa-not-convertible", "psa"
_OF_PSA = frozenset({_EXCLUDED, _NOT_CONVERTIBLE, _PSA})

# If an Observation has several of these meanings, the first decides.
_PRECEDENCE = (
    *(_EXCLUDED, _NOT_CONVERTIBLE, _PSA),
    *FINDING_KINDS,
    CAUSE_OF_DEATH,
    *GRADINGS,
    SCORE,
    *KINDS,
)
_RANK = {concept: rank for rank, concept in enumerate(_PRECEDENCE)}
#: The concepts that a component can state for its Observation.
_BY_COMPONENT = frozenset({_NOT_CONVERTIBLE, _PSA, *FINDING_KINDS})


class _Meaning(NamedTuple):
    """What an Observation is, by its own code and those of its components.

    ``entry``: the entry that decides. ``conflict``: the code that says that it is not the PSA that
    another of its codes says. ``psa``: what states a PSA result. ``places``: the Observation and
    its components with the meanings of their codes.
    """

    entry: CodeEntry | None
    conflict: str
    psa: list[PsaStatement]
    places: list[Coded]


def observation(resource: Observation, ref: str, context: Context) -> Item:
    """Return the item of an Observation."""
    own = resource.identifier is not None and context.is_own(resource.identifier)
    entries = context.entries(resource.code, resource)
    entry, conflict = _decided(resource.code, entries, context) if entries else (None, "")
    whole = None
    if resource.component:
        whole = _with_components(resource, Coded(resource, entries), context)
        entry, conflict = whole.entry, whole.conflict
    if own or entry is None or (entry.concept == _EXCLUDED and not conflict):
        label = entry.label if entry else label_of(resource.code)
        return only_counted(resource, ref, context, label, own=own)
    patient = context.patient(resource.subject)
    named = Named(ref, resource.meta, patient, entry.label)
    if context.is_test(resource.meta):
        return named.not_used(Reason.TEST_DATA)
    if not patient:
        return named.not_used(Reason.NO_SUBJECT)
    if conflict:
        return named.not_used(Reason.CONFLICTING_CODE, conflict)
    if entry.concept == _NOT_CONVERTIBLE:
        return named.not_used(Reason.PSA_NOT_CONVERTIBLE, entry.label)
    rank = context.observation_ranks.get(resource.status)
    if rank is None:
        return named.not_used(Reason.STATUS, resource.status or "no status")
    if entry.concept == _PSA:
        when = _day(resource, named, context)
        if isinstance(when, NotUsed):
            return when
        result = empty_result(resource, named, when, rank)
        if whole is None:
            return set_result(result, resource, entry.unit, context)
        return agreed_result(result, whole.psa, context)
    places = [Coded(resource, entries)] if whole is None else whole.places
    return _other(resource, places, entry, named, context)


def _with_components(resource: Observation, own: Coded, context: Context) -> _Meaning:
    """Return the meaning of an Observation with its components."""
    decisive, conflict = _decided(resource.code, own.entries, context)
    places: list[Coded] = [own]
    psa: list[PsaStatement] = []
    first: CodeEntry | None = None
    if decisive is not None and decisive.concept == _PSA and not conflict:
        psa.append((resource, decisive.unit))
        first = decisive
    # Most components are of no use, so only their codes are decoded at first.
    codes = [one.code for one in decode_element(COMPONENT_CODES, resource.component)]
    meanings = [context.entries(code, resource) for code in codes]
    components = decode_element(COMPONENTS, resource.component) if any(meanings) else []
    for component, entries in zip(components, meanings, strict=False):
        entry, contradiction = _decided(component.code, entries, context)
        if entry is None:
            continue
        places.append(Coded(component, entries))
        if entry.concept == _PSA and not contradiction:
            psa.append((component, entry.unit))
            first = first or entry
        elif (contradiction or entry.concept in _BY_COMPONENT) and (
            decisive is None or _RANK[entry.concept] < _RANK[decisive.concept]
        ):
            decisive, conflict = entry, contradiction
    if first is not None:
        # Where there is a PSA result, the Observation's own code does not matter.
        decisive, conflict = first, ""
    return _Meaning(decisive, conflict, psa, places)


def _other(
    resource: Observation, places: list[Coded], entry: CodeEntry, named: Named, context: Context
) -> Item:
    """Return the item of an Observation of a used status that is no PSA result."""
    if entry.concept in FINDING_KINDS:
        return finding(resource, places, named, context)
    if entry.concept == CAUSE_OF_DEATH:
        return cause_of_death(resource, named, context)
    if entry.concept == SCORE:
        rank = context.observation_ranks[resource.status]
        return _score(resource, named, rank, context, entry.of)
    if entry.concept in GRADINGS:
        return _grading(resource, named, context, entry.of)
    return characteristic(resource, places[0].entries, named, context)


def _decided(
    concept: CodeableConcept | None, entries: list[CodeEntry], context: Context
) -> tuple[CodeEntry | None, str]:
    """Return the entry that decides what a code means, and the code that contradicts PSA."""
    if len(entries) == 1 and concept is not None and len(concept.coding or ()) == 1:
        # The most frequent case, handled first for speed.
        return (entries[0] if entries[0].concept in _RANK else None), ""
    best: CodeEntry | None = None
    for entry in entries:
        rank = _RANK.get(entry.concept)
        if rank is not None and (best is None or rank < _RANK[best.concept]):
            best = entry
    if best is None or concept is None or best.concept not in _OF_PSA:
        return best, ""
    if len(concept.coding or ()) < 2 or all(entry.concept != _PSA for entry in entries):
        return best, ""
    if best.concept == _EXCLUDED:
        return best, best.label
    return best, context.contradiction(_PSA, concept)


def _day(resource: Observation, named: Named, context: Context) -> Span | NotUsed:
    """Return the precise date, or the item of a resource that has none."""
    written = (
        resource.effective_date_time
        or resource.effective_instant
        or (resource.effective_period.start if resource.effective_period else None)
    )
    when = context.dates.read(written) if written else None
    if when is None:
        return date_problem(named, written)
    if when.first != when.last:
        return named.not_used(Reason.IMPRECISE_DATE, str(written))
    return when


def _score(
    resource: Observation, named: Named, rank: int, context: Context, instrument: str
) -> Item:
    """Return the score of a questionnaire that is recorded as a number, dated like a PSA result."""
    when = _day(resource, named, context)
    if isinstance(when, NotUsed):
        return when
    return Response(
        when=when,
        rank=rank,
        scores=(_scored(resource, context, instrument),),
        observed=True,
        issued=resource.issued,
        **named.fields(),
    )


def _scored(resource: Observation, context: Context, instrument: str) -> Score:
    quantity = resource.value_quantity
    value = None
    if is_present(resource.data_absent_reason) or (quantity is not None and quantity.comparator):
        return Score(instrument, problem=Reason.VALUE, detail="no score")
    if quantity is not None and quantity.value is not None:
        value = number(quantity.value, "valueQuantity.value")
    elif resource.value_integer is not None:
        value = number(resource.value_integer, "valueInteger")
    if value is None:
        return Score(instrument, problem=Reason.VALUE, detail="no score")
    return context.instruments.by_key[instrument].from_total({value})


def _grading(resource: Observation, named: Named, context: Context, scale: str) -> Item:
    _, when = context.first_date(
        resource.effective_date_time,
        resource.effective_instant,
        resource.effective_period,
    )
    references = [*(resource.focus or ()), *(resource.part_of or ())]
    statements = [*by_value(resource, scale), *by_components(resource, context)]
    return Grading(
        when=when,
        events=tuple(sorted(set(resolved(context, references, "AdverseEvent")))),
        procedures=tuple(sorted(set(resolved(context, references, "Procedure")))),
        grades=grades_of(context, statements),
        **named.fields(),
    )
