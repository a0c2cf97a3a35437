"""Checks that the fields of a code or text apply to the concept that it is an entry of."""

from fhircryo.mapping.concepts import (
    CONCEPTS,
    FINDINGS,
    KINDS_OF,
    STATUSES_OF,
    WITH_PRIMARY,
    WITH_UNIT,
    WITH_VALUE,
)
from fhircryo.mapping.locations import Layer
from fhircryo.mapping.schema import (
    CONDITION_FIELDS,
    Meaning,
)
from fhircryo.mapping.yamlfile import Loc, nearest


def check_meaning(layer: Layer, key: str, loc: Loc, entry: Meaning) -> None:
    """Check that the fields of an entry apply to its concept, and that the required ones are there.

    ``loc``: the place of the entry in its file.

    Raises:
        UsageError: a field does not apply, or is missing.
    """
    known = CONCEPTS[key]
    for condition in CONDITION_FIELDS:
        if getattr(entry, condition) and condition not in known.conditions:
            words = f"this condition does not apply to {known.resource}.{known.element}"
            raise layer.error((*loc, condition), words + nearest(condition, known.conditions))
    for number, status in enumerate(entry.status):
        statuses = STATUSES_OF[known.resource]
        if status not in statuses:
            words = f"{known.resource} has no such status{nearest(status, statuses)}"
            raise layer.error((*loc, "status", number), words)
    if entry.unit is not None and key not in WITH_UNIT:
        words = f"only results of {', '.join(sorted(WITH_UNIT))} have a unit, not those of {key}"
        raise layer.error((*loc, "unit"), words)
    if entry.beside and key not in WITH_UNIT:
        raise layer.error((*loc, "beside"), f"this applies only to {', '.join(sorted(WITH_UNIT))}")
    if entry.names_prostate and key not in WITH_PRIMARY:
        words = f"this applies only to {', '.join(sorted(WITH_PRIMARY))}"
        raise layer.error((*loc, "names_prostate"), words)
    _check_kind(layer, key, loc, entry)
    _check_value(layer, key, loc, entry)


def _check_kind(layer: Layer, key: str, loc: Loc, entry: Meaning) -> None:
    """Raise a UsageError unless a shipped entry states a kind where its concept has kinds."""
    kinds = KINDS_OF.get(key, ())
    if kinds and entry.kind is None and layer.number == 0:
        raise layer.error(loc, f"kind is required: {', '.join(kinds)}")
    if entry.kind is not None and entry.kind not in kinds:
        words = f"{entry.kind!r} is not a kind of {key}" if kinds else f"{key} has no kinds"
        raise layer.error((*loc, "kind"), words + (nearest(entry.kind, kinds) if kinds else ""))


def _check_value(layer: Layer, key: str, loc: Loc, entry: Meaning) -> None:
    """Raise a UsageError unless a finding states which values count, or if the concept has none."""
    if key in FINDINGS and not entry.value and not entry.any_value:
        words = "value is required: the list of values that state the event"
        raise layer.error(loc, f"{words}; or any_value: true, if the code alone states it")
    if entry.value and key not in WITH_VALUE:
        raise layer.error((*loc, "value"), f"this applies only to {', '.join(sorted(WITH_VALUE))}")
    if entry.any_value and key not in FINDINGS:
        raise layer.error(
            (*loc, "any_value"), f"this applies only to {', '.join(sorted(FINDINGS))}"
        )
