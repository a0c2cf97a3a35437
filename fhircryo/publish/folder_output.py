"""The resources of a patient as the lines of a folder.

Most of a line is the same in all Observations of an endpoint whose results have the same shape: the
same components, the same kind of value. Such a line is made once, by :class:`ObservationMaker`, and
becomes a template; the others fill in what differs. Both ways give the same bytes.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw, structs

from fhircryo.calendar import Span
from fhircryo.endpoints.result import PART_UNITS, Evidence, Result, ResultComponent
from fhircryo.publish.observation_maker import ObservationMaker, is_derived_from, resource_of
from fhircryo.publish.origin import Origin
from fhircryo.publish.provenance import provenance, provenance_id
from fhircryo.publish.shapes import (
    ENCODER,
    OutComponent,
    OutIdentifier,
    OutObservation,
    OutPeriod,
    OutQuantity,
    OutRange,
    OutReference,
    number,
)

#: Stands for what differs between lines; JSON escapes this byte wherever it is content.
_MARK = b"\x00"
#: Typed as anything, because it takes the place of texts, numbers and elements alike.
_SLOT: Any = Raw(_MARK)

#: What can differ in a component's value.
_QUANTITY, _INTEGER, _DAY, _PERIOD = range(-1, -5, -1)


class FolderOutput(msgspec.Struct):
    """The Observations and the Provenance of one patient as lines of NDJSON."""

    observation_lines: bytes
    provenance_line: bytes


class FolderOutputMaker:
    """Makes the lines of the patients of a run."""

    def __init__(self, maker: ObservationMaker, origin: Origin) -> None:
        self._maker = maker
        self._origin = origin
        self._templates: dict[Any, bytes] = {}

    def make(
        self,
        results: list[Result],
        patient: str,
        index: str,
        known_as: str,
        treatments: Iterable[str],
    ) -> FolderOutput:
        """The lines of a patient's results.

        ``patient``, ``index``, ``known_as``: as :meth:`ObservationMaker.make` has them.
        ``treatments``: references to the treatments, which the Provenance names.
        """
        names = self._maker.names(patient, index)
        subject = ENCODER.encode(self._maker.subject(patient, known_as))
        part_of = ENCODER.encode([OutReference(index)])
        references: dict[str, bytes] = {}
        entities = list(treatments)
        identifiers = []
        lines = []
        for result in results:
            identifier = names.of(self._maker.common(result).name)
            identifiers.append(identifier)
            encoded = b'"%b"' % identifier.encode()
            values: list[bytes] = [encoded, encoded, subject, part_of]
            key = self._fill_in(result, values, references, entities)
            template = self._templates.get(key)
            if template is None:
                template = self._templates[key] = self._template(result)
            lines.append(template % tuple(values))
        written = b"".join(lines)
        stated = structs.replace(
            provenance(identifiers, entities, self._origin),
            id=provenance_id(identifiers, written),
        )
        return FolderOutput(written, ENCODER.encode(stated) + b"\n")

    def _fill_in(
        self,
        result: Result,
        values: list[bytes],
        references: dict[str, bytes],
        entities: list[str],
    ) -> object:
        """Add what differs, in the order of the elements; returns what the template depends on.

        ``references``: the encoded references of the patient's evidence, empty for evidence that
        an Observation cannot derive from; that is added to ``entities``.
        """
        values.append(_day(result.start))
        if result.period and result.end is not None:
            values.append(_day(result.end))
        value = result.value
        kind: object
        if value is None:
            kind = (result.absent, result.reason)
        elif isinstance(value, bool | str):
            kind = value
        else:
            values.append(_number(value))
            kind = (_QUANTITY, result.comparator, result.high is not None)
            if result.high is not None:
                values.append(_number(result.high))
        derived = _derived(result.evidence, references, entities) if result.evidence else b""
        if derived:
            values.append(derived)
        parts = tuple([_fill_in_component(part, values) for part in result.components])
        return (
            result.endpoint.key,
            result.instrument,
            result.time_point,
            result.final,
            result.period,
            result.end is None,
            type(value) is bool,
            kind,
            not derived,
            parts,
        )

    def _template(self, result: Result) -> bytes:
        """The line of a result with marks in place of all that can differ."""
        made = self._maker.observation(result, "", _SLOT, _SLOT)
        made.id = _SLOT
        made.identifier = [OutIdentifier(made.identifier[0].system, _SLOT)]
        _mark_time(made)
        _mark_value(made)
        if made.derived_from is not None:
            made.derived_from = _SLOT
        if made.component is not None:
            made.component = [
                _marked(component, part)
                for component, part in zip(made.component, result.components, strict=True)
            ]
        line = ENCODER.encode(made) + b"\n"
        return line.replace(b"%", b"%%").replace(_MARK, b"%b")


def _fill_in_component(component: ResultComponent, values: list[bytes]) -> object:
    """Add what differs of a component; returns what the template depends on."""
    value, part = component.value, component.part
    if isinstance(value, bool | str):
        return (part, type(value) is bool, value)
    if isinstance(value, Span):
        values.append(_day(value.first))
        if value.precise:
            return (part, _DAY)
        values.append(_day(value.last))
        return (part, _PERIOD)
    values.append(_number(value))
    return (part, _QUANTITY, component.comparator) if part in PART_UNITS else (part, _INTEGER)


def _derived(
    evidence: Iterable[Evidence], references: dict[str, bytes], entities: list[str]
) -> bytes:
    """The references from which an Observation derives, as a JSON array; empty if none."""
    found: dict[bytes, None] = {}
    for source in evidence:
        ref = source.ref
        encoded = references.get(ref)
        if encoded is None:
            derives = is_derived_from(ref)
            encoded = ENCODER.encode(OutReference(resource_of(ref))) if derives else b""
            references[ref] = encoded
        if encoded:
            found[encoded] = None
        else:
            entities.append(resource_of(ref))
    return b"[%b]" % b",".join(found) if found else b""


def _mark_time(made: OutObservation) -> None:
    if made.effective_period is not None:
        end = None if made.effective_period.end is None else _SLOT
        made.effective_period = OutPeriod(_SLOT, end)
    else:
        made.effective_date_time = _SLOT


def _mark_value(made: OutObservation) -> None:
    if made.value_quantity is not None:
        made.value_quantity = _marked_quantity(made.value_quantity)
    elif made.value_range is not None:
        found = made.value_range
        made.value_range = OutRange(_marked_quantity(found.low), _marked_quantity(found.high))
    elif made.value_integer is not None:
        made.value_integer = _SLOT


def _marked(component: OutComponent, part: ResultComponent) -> OutComponent:
    """A component with a mark in place of its value, unless the value is a yes, a no or a code."""
    if isinstance(part.value, bool | str):
        return component
    marked = structs.replace(component)
    if marked.value_quantity is not None:
        marked.value_quantity = _marked_quantity(marked.value_quantity)
    elif marked.value_period is not None:
        marked.value_period = OutPeriod(_SLOT, _SLOT)
    elif marked.value_date_time is not None:
        marked.value_date_time = _SLOT
    else:
        marked.value_integer = _SLOT
    return marked


def _marked_quantity(quantity: OutQuantity) -> OutQuantity:
    return structs.replace(quantity, value=_SLOT)


@lru_cache(maxsize=1 << 14)
def _day(day: date) -> bytes:
    return b'"%b"' % day.isoformat().encode()


def _number(value: int | Decimal | Fraction) -> bytes:
    return b"%d" % value if type(value) is int else ENCODER.encode(number(value))
