"""The published resources as msgspec structs: the one form of an endpoint on its way to a target.

Source: https://hl7.org/fhir/R4/ ; every shape passes the R4B models of fhir.resources.
"""

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import msgspec
from msgspec import Raw, UnsetType

#: A resource as the dicts and lists that its JSON decodes to; its numbers are int or Decimal.
Json = dict[str, Any]

ENCODER = msgspec.json.Encoder(decimal_format="number")


def _decimal_of(text: str) -> Decimal:
    """A number of a server; not a number where its exponent is beyond what a Decimal can hold."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


#: Decodes what a server answers, with its numbers as decimals.
DECODER = msgspec.json.Decoder(float_hook=_decimal_of)


def json_object(line: bytes) -> Json:
    """A resource that a server gave; empty where it is no JSON object.

    Other programs write to a server as well, so that no element can be relied on.
    """
    try:
        found = DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def objects_in(resource: Json, element: str) -> list[Json]:
    """The JSON objects in a list of a resource, whatever else is there."""
    found = resource.get(element)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def object_in(resource: Json, element: str) -> Json:
    """The JSON object that is an element of a resource; empty if it is something else."""
    found = resource.get(element)
    return found if isinstance(found, dict) else {}


_CENT = Decimal("0.01")
_LEAST_PLAIN = -6


class _Element(
    msgspec.Struct, rename="camel", omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """Encoded without the elements that are None; decoding refuses elements that are not ours."""


class OutIdentifier(_Element):
    system: str
    value: str


class OutReference(_Element):
    """A literal reference (``reference``), or a logical one (``type`` and ``identifier``)."""

    reference: str | None = None
    type: str | None = None
    identifier: OutIdentifier | None = None
    display: str | None = None


class OutPeriod(_Element):
    start: str
    end: str | None = None


class OutQuantity(_Element):
    value: Any  # an int or Decimal, or Raw
    unit: str
    system: str = ""
    code: str = ""
    comparator: str | None = None


class OutRange(_Element):
    low: OutQuantity
    high: OutQuantity


class OutCoding(_Element):
    system: str
    code: str
    display: str | None = None


class OutConcept(_Element):
    coding: list[OutCoding] | None = None
    text: str | None = None


class OutMeta(_Element):
    profile: list[str] | None = None
    tag: list[OutCoding] | None = None


class OutComponent(_Element):
    code: OutConcept
    value_quantity: OutQuantity | None = None
    value_codeable_concept: OutConcept | None = None
    value_integer: int | None = None
    value_date_time: str | None = None
    value_period: OutPeriod | None = None


class OutObservation(_Element, tag_field="resourceType", tag="Observation"):
    """An endpoint. In a folder the id is its identifier; on a server the id is chosen last."""

    id: str | UnsetType
    meta: OutMeta
    identifier: list[OutIdentifier]
    status: str
    category: list[OutConcept]
    code: OutConcept
    subject: OutReference
    part_of: list[OutReference] | None = None
    effective_date_time: str | None = None
    effective_period: OutPeriod | None = None
    value_quantity: OutQuantity | None = None
    value_range: OutRange | None = None
    value_codeable_concept: OutConcept | None = None
    value_integer: int | None = None
    data_absent_reason: OutConcept | None = None
    method: OutConcept | None = None
    device: OutReference | None = None
    derived_from: list[OutReference] | None = None
    component: list[OutComponent] | None = None


class OutEntity(_Element):
    role: str
    what: OutReference


class OutAgent(_Element):
    who: OutReference


class OutProvenance(_Element, kw_only=True, tag_field="resourceType", tag="Provenance"):
    """The id is a hash of what is written, so it is unset until that is known.

    ``occurred_date_time`` and ``patient`` are written to servers of R5.
    """

    id: str | UnsetType
    meta: OutMeta | None = None
    target: list[OutReference]
    recorded: str
    policy: list[str]
    activity: OutConcept
    agent: list[OutAgent]
    entity: list[OutEntity] | None = None
    occurred_date_time: str | None = None
    patient: OutReference | None = None


class OutDeviceName(_Element):
    """The text is ``name`` in R4 and ``value`` in R5."""

    name: str | None = None
    value: str | None = None
    type: str = ""


class OutVersion(_Element):
    value: str


class OutDevice(_Element, kw_only=True, tag_field="resourceType", tag="Device"):
    """R4 has ``deviceName`` and one type, R5 ``name`` and a list of types."""

    id: str
    meta: OutMeta | None = None
    identifier: list[OutIdentifier]
    device_name: list[OutDeviceName] | None = None
    name: list[OutDeviceName] | None = None
    version: list[OutVersion]
    type: OutConcept | list[OutConcept]


class OutIssue(_Element):
    severity: str
    code: str
    details: OutConcept
    diagnostics: str


class OutOperationOutcome(_Element, tag_field="resourceType", tag="OperationOutcome"):
    issue: list[OutIssue]


def plain(shape: msgspec.Struct) -> Json:
    """The dicts and lists that a shape's JSON decodes to, without encoding it."""
    content: Json = msgspec.to_builtins(
        shape, builtin_types=(Decimal,), enc_hook=lambda raw: Decimal(bytes(raw).decode())
    )
    return content


def number(value: int | Decimal | Fraction) -> int | Decimal | Raw:
    """A number as it is published: no trailing zeros, scores with at most two decimals."""
    if isinstance(value, int):
        return value
    if isinstance(value, Fraction):
        if value.denominator == 1:
            return value.numerator
        cents, rest = divmod(abs(value.numerator) * 100, value.denominator)
        if 2 * rest >= value.denominator:
            cents += 1
        value = _CENT * (cents if value > 0 else -cents)
    if value == value.to_integral_value():
        return int(value)
    value = value.normalize()
    if value.adjusted() < _LEAST_PLAIN:
        return Raw(f"{value:f}".encode())  # where a Decimal would write an exponent
    return value


def read_number(text: str) -> int | Decimal | Raw:
    """A number of a computed folder, in the form in which it is published again."""
    return number(Decimal(text))


#: Decode the lines of a computed folder.
OBSERVATION_DECODER = msgspec.json.Decoder(OutObservation, float_hook=read_number)
PROVENANCE_DECODER = msgspec.json.Decoder(OutProvenance)
