"""The types of the elements that are read of an Observation on a target.

Other programs can write there as well. What has another type than FHIR defines is found by
converting it to these structs, before anything is computed with it.

Source: https://hl7.org/fhir/R4/observation.html
"""

from decimal import Decimal

import msgspec

from fhircryo.publish.shapes import Json


class _Element(msgspec.Struct, rename="camel"):
    pass


class _Coding(_Element):
    system: str | None = None
    code: str | None = None


class _Concept(_Element):
    coding: list[_Coding] | None = None
    text: str | None = None


class _Identifier(_Element):
    system: str | None = None
    value: str | None = None


class _Reference(_Element):
    reference: str | None = None
    type: str | None = None
    identifier: _Identifier | None = None


class _Meta(_Element):
    profile: list[str] | None = None
    tag: list[_Coding] | None = None
    version_id: str | None = None


class _Period(_Element):
    start: str | None = None
    end: str | None = None


class _Quantity(_Element):
    value: int | Decimal | None = None
    comparator: str | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None


class _Range(_Element):
    low: _Quantity | None = None
    high: _Quantity | None = None


class _Valued(_Element):
    code: _Concept | None = None
    value_quantity: _Quantity | None = None
    value_range: _Range | None = None
    value_codeable_concept: _Concept | None = None
    value_integer: int | None = None
    value_date_time: str | None = None
    value_period: _Period | None = None
    data_absent_reason: _Concept | None = None


class _Observation(_Valued):
    id: str | None = None
    meta: _Meta | None = None
    identifier: list[_Identifier] | None = None
    status: str | None = None
    category: list[_Concept] | None = None
    subject: _Reference | None = None
    part_of: list[_Reference] | None = None
    derived_from: list[_Reference] | None = None
    effective_date_time: str | None = None
    effective_period: _Period | None = None
    method: _Concept | None = None
    device: _Reference | None = None
    component: list[_Valued] | None = None


def has_types_of_fhir(resource: Json) -> bool:
    """Whether the elements of an Observation that are read have the types that FHIR defines."""
    try:
        msgspec.convert(resource, _Observation)
    except (msgspec.ValidationError, RecursionError):
        return False
    return True


def identifiers_of(resource: Json, system: str) -> list[str]:
    """The values of a resource's identifiers of a system, whatever else is wrong with it."""
    stated = resource.get("identifier")
    return [
        str(one.get("value", ""))
        for one in (stated if isinstance(stated, list) else [stated])
        if isinstance(one, dict) and one.get("system") == system
    ]
