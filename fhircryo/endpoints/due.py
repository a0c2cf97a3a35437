"""When time alone changes a patient's endpoints: the next day that matters after as-of."""

from collections.abc import Iterator
from datetime import date, timedelta

from fhircryo.calendar import Span, add_months
from fhircryo.mapping.protocol import Protocol
from fhircryo.record.items import PatientRecord, VagueTreatment

_NEXT = timedelta(days=1)


def next_due(record: PatientRecord, protocol: Protocol, as_of: date) -> date | None:
    """The first day after as-of on which, with the same record, an endpoint may be another.

    A window's last day and the day after both count, so that it does not matter here which of them
    decides. None: time changes nothing any more.
    """
    days = {span.first for span in _spans(record)}
    if record.treatments:
        d0 = min(treatment.when.first for treatment in record.treatments)
        for months in _months(protocol):
            limit = add_months(d0, months)
            days |= {limit, limit + _NEXT} if limit < date.max else {limit}
    return min((day for day in days if day > as_of), default=None)


def _spans(record: PatientRecord) -> Iterator[Span]:
    """The dates of everything that the record holds: what is dated after as-of comes to be."""
    facts = [record.facts, *record.former]
    yield from (one.died for one in facts if one is not None and one.died is not None)
    for items in (
        record.treatments,
        record.therapies,
        record.psa,
        record.findings,
        record.adverse_events,
        record.gradings,
        record.responses,
    ):
        yield from (item.when for item in items if item.when is not None)
    yield from (item.when for item in record.not_used if isinstance(item, VagueTreatment))
    yield from (when for when in record.foreign_events.values() if when is not None)


def _months(protocol: Protocol) -> Iterator[int]:
    """The ends of the protocol's windows, in months after D0."""
    yield protocol.disease_free.landmark_months
    yield protocol.complications.window_months
    for point in protocol.time_points.values():
        yield from (months for months in (point.from_, point.target, point.to) if months)
