"""Extracts baseline characteristics and causes of death from Observations."""

from collections.abc import Iterable
from decimal import Decimal

from fhircryo.extract.context import Context, Named, date_problem, is_present, tokens_of
from fhircryo.extract.numbers import is_sized, number
from fhircryo.fhir.wire import CodeableConcept, Observation, Quantity
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.mapping.normalise import normal_unit
from fhircryo.record.items import (
    Cause,
    CauseOfDeath,
    Characteristic,
    CharacteristicKind,
    Item,
    NotUsed,
    Reason,
)

CAUSE_OF_DEATH = "cause-of-death"

_OF_PROSTATE = frozenset({"prostate-cancer", "local-recurrence"})
# A metastasis is of the prostate cancer only if its code says so.
_OF_UNKNOWN_CANCER = frozenset(
    {
        "cause-of-death-unspecified",
        "metastasis",
        "metastasis-unclear-site",
        "nodal-recurrence",
    }
)

#: The kinds of characteristics, by the concept of their codes.
KINDS = {str(kind): kind for kind in CharacteristicKind}

#: A longer text is no value but a report.
_LONGEST_TEXT = 40
#: SNOMED CT names a T category or a grade group in up to about 100 characters.
_LONGEST_DISPLAY = 150
#: The concept of the values that state a grade group, which is their kind.
_GRADE_GROUP_VALUE = "isup-grade-group-value"


def cause_of_death(resource: Observation, named: Named, context: Context) -> Item:
    """Return the item of an Observation of the cause of death, of a used status.

    What is not coded, is coded as unknown, or is a metastasis of whatever cancer is an unknown
    cause; a code that names the prostate as the primary is prostate cancer.
    """
    _, when = context.first_date(
        resource.effective_date_time, resource.effective_instant, resource.effective_period
    )
    return CauseOfDeath(cause=_cause(resource, context), when=when, **named.fields())


def _cause(resource: Observation, context: Context) -> Cause:
    value = resource.value_codeable_concept
    if value is None or is_present(resource.data_absent_reason):
        return Cause.UNKNOWN
    entries = context.entries(value)
    concepts = {entry.concept for entry in entries}
    if concepts & _OF_PROSTATE or any(entry.names_prostate for entry in entries):
        return Cause.PROSTATE_CANCER
    if concepts & _OF_UNKNOWN_CANCER:
        return Cause.UNKNOWN
    return Cause.OTHER if any(coding.code for coding in value.coding or ()) else Cause.UNKNOWN


def characteristic(
    resource: Observation, entries: Iterable[CodeEntry], named: Named, context: Context
) -> Item:
    """Return the item of an Observation of a used status with the code of a characteristic.

    ``entries``: the meanings of its code; the first that counts with its value decides.
    """
    stated = tokens_of(resource.value_codeable_concept)
    kind = next(
        (
            KINDS[entry.concept]
            for entry in entries
            if entry.concept in KINDS
            and (entry.values is None or not entry.values.isdisjoint(stated))
        ),
        None,
    )
    if kind is None:
        return named.dropped(Reason.UNMAPPED_CODE)
    written, when = context.first_date(
        resource.effective_date_time, resource.effective_instant, resource.effective_period
    )
    if when is None:
        return date_problem(named, written)
    value = _value(resource, kind, named, context)
    if isinstance(value, NotUsed):
        return value
    found = Characteristic(kind=kind, when=when, **named.fields())
    if isinstance(value, str):
        found.text = value
    else:
        found.number = value
    return found


def _value(
    resource: Observation, kind: CharacteristicKind, named: Named, context: Context
) -> Decimal | int | str | NotUsed:
    """Return the value as a number, in mL for a volume, or as coded."""
    if is_present(resource.data_absent_reason):
        return named.not_used(Reason.VALUE, "no value")
    quantity = resource.value_quantity
    found: Decimal | int | str = ""
    if quantity is not None and quantity.value is not None and not quantity.comparator:
        found = number(quantity.value, "valueQuantity.value")
        if kind is CharacteristicKind.PROSTATE_VOLUME:
            factor = _millilitres(quantity, context)
            if factor is None:
                return named.not_used(Reason.UNIT, quantity.code or quantity.unit or "no unit")
            found = found * factor if is_sized(found) else ""
    elif kind is CharacteristicKind.PROSTATE_VOLUME:
        found = ""
    elif resource.value_integer is not None:
        found = number(resource.value_integer, "valueInteger")
    elif resource.value_codeable_concept is not None:
        found = _coded(resource.value_codeable_concept, context)
    else:
        found = (resource.value_string or "").strip()
    if isinstance(found, str):
        coded = resource.value_codeable_concept is not None
        usable = 0 < len(found) <= (_LONGEST_DISPLAY if coded else _LONGEST_TEXT)
    else:
        usable = is_sized(found) and found >= 0
    return found if usable else named.not_used(Reason.VALUE, "no value that can be read")


def _millilitres(quantity: Quantity, context: Context) -> Decimal | None:
    """Return the factor of the unit to mL (None: it is unknown)."""
    return context.mappings.volume_units.get(normal_unit(quantity.code or quantity.unit or ""))


def _coded(concept: CodeableConcept, context: Context) -> str:
    """Return the grade group that a value states, else the value as coded."""
    for entry in context.entries(concept):
        if entry.concept == _GRADE_GROUP_VALUE:
            return entry.kind
    return _as_coded(concept)


def _as_coded(concept: CodeableConcept) -> str:
    """Return the display or code of the first coding, else the text."""
    for coding in concept.coding or ():
        if coding.display or coding.code:
            return (coding.display or coding.code or "").strip()
    return (concept.text or "").strip()
