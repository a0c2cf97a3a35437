"""The next day after the as-of date on which the passing of time can change an endpoint."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

from pydantic import BaseModel

from fhircryo.calendar import add_days, add_months
from fhircryo.mapping.protocol import Protocol
from fhircryo.record.items import PatientRecord

_NEXT = timedelta(days=1)
_LIMIT = re.compile(r"(landmark|window)(_\w+)?_(days|months)")


def next_due(record: PatientRecord, protocol: Protocol, as_of: date) -> date | None:
    """The first day after as-of on which an endpoint may change although the record does not.

    Both the last day of a window and the day after it count, because some rules include the last
    day and others do not. None: no endpoint changes by the passing of time.
    """
    days = {span.first for span in record.spans()}
    if record.treatments:
        d0 = min(treatment.when.first for treatment in record.treatments)
        for limit in _limits(protocol, d0):
            days |= {limit, limit + _NEXT} if limit < date.max else {limit}
    return min((day for day in days if day > as_of), default=None)


def _limits(protocol: Protocol, d0: date) -> Iterator[date]:
    """The ends of the protocol's windows: its time points, and every landmark and window.

    A field of any section that is named ``landmark_months``, ``window_days`` and the like is a
    limit after D0, so that a new endpoint's limits are found here by their names.
    """
    # The last day of the baseline's window.
    yield d0
    for point in protocol.time_points.values():
        for months in (point.from_, point.target, point.to):
            if months:
                yield add_months(d0, months)
    for _, section in protocol:
        for name, number in section if isinstance(section, BaseModel) else ():
            if _LIMIT.fullmatch(name) and number is not None:
                move = add_months if name.endswith("_months") else add_days
                yield move(d0, number)
