"""When time alone changes a patient's endpoints: the next day that matters after as-of."""

from collections.abc import Iterator
from datetime import date, timedelta

from fhircryo.calendar import add_months
from fhircryo.mapping.protocol import Protocol
from fhircryo.record.items import PatientRecord

_NEXT = timedelta(days=1)


def next_due(record: PatientRecord, protocol: Protocol, as_of: date) -> date | None:
    """The first day after as-of on which, with the same record, an endpoint may be another.

    A window's last day and the day after both count, so that it does not matter here which of them
    decides. None: time changes nothing any more.
    """
    days = {span.first for span in record.spans()}
    if record.treatments:
        d0 = min(treatment.when.first for treatment in record.treatments)
        # The window of the baseline ends on D0 itself.
        for limit in (d0, *(add_months(d0, months) for months in _months(protocol))):
            days |= {limit, limit + _NEXT} if limit < date.max else {limit}
    return min((day for day in days if day > as_of), default=None)


def _months(protocol: Protocol) -> Iterator[int]:
    """The ends of the protocol's windows, in months after D0."""
    yield protocol.disease_free.landmark_months
    yield protocol.complications.window_months
    for point in protocol.time_points.values():
        yield from (months for months in (point.from_, point.target, point.to) if months)
