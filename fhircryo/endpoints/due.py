"""The next day after the as-of date on which the passing of time can change an endpoint."""

from collections.abc import Iterator
from datetime import date, timedelta

from pydantic import BaseModel

from fhircryo.calendar import Span, add_days, add_months
from fhircryo.mapping.protocol import Protocol
from fhircryo.record.items import Lacking, PatientRecord, Therapy, TherapyKind

_NEXT = timedelta(days=1)


def next_due(
    record: PatientRecord, protocol: Protocol, as_of: date, lacking: Lacking | None = None
) -> date | None:
    """The first day after as-of on which an endpoint may change although the record does not.

    A day on which nothing changes may be returned; a day on which an endpoint changes is never left
    out. Both the last day of a window and the day after it count, because some rules include the
    last day and others do not. None: no endpoint changes by the passing of time.

    ``lacking``: whether the source knows of every death.
    """
    days = set(_recorded_days(record))
    if record.treatments:
        d0 = min(treatment.when.first for treatment in record.treatments)
        known = Span(d0, as_of)
        if d0 <= as_of < date.max and _ends_at_as_of(record, known, lacking or Lacking()):
            return _following(as_of)
        for limit in (*_limits(protocol, d0), *_gaps(record, protocol, d0)):
            days |= {limit, _following(limit)}
    return min((day for day in days if day > as_of), default=None)


def _following(day: date) -> date:
    return day + _NEXT if day < date.max else day


def _recorded_days(record: PatientRecord) -> Iterator[date]:
    """The days on which what is recorded begins to exist, and the ends of intervals."""
    for span in (*record.spans(), *_spans_of_items(record)):
        yield span.first
        if not span.precise:
            yield span.last
            yield _following(span.last)


def _spans_of_items(record: PatientRecord) -> Iterator[Span]:
    """All dates of all items, also those of recording and of an end."""
    for item in record.items():
        for name in item.__struct_fields__:
            value = getattr(item, name)
            if isinstance(value, Span):
                yield value


def _ends_at_as_of(record: PatientRecord, known: Span, lacking: Lacking) -> bool:
    """Whether a time ends at the as-of date itself, and so grows from day to day.

    That is the case for a death on an unknown day, and for the survival of a living patient whose
    death the source would know. ``known``: from D0 to as-of; a death before D0 is an error.
    """
    patients = [facts for facts in (record.facts, *record.former) if facts is not None]
    if any(facts.died_undated for facts in patients):
        return True
    deaths = (facts.died for facts in patients if facts.died is not None)
    died = any(known.first <= death.last <= known.last for death in deaths)
    return not lacking.deaths and not died


def _limits(protocol: Protocol, d0: date) -> Iterator[date]:
    """The days that the protocol counts from D0: its time points, landmark and windows.

    Every field of a section that is named ``..._days`` or ``..._months`` is taken as a limit after
    D0, so that a new endpoint's limits are found here without being listed.
    """
    # The last day of the baseline's window.
    yield d0
    for point in protocol.time_points.values():
        for months in (point.from_, point.target, point.to):
            if months:
                yield add_months(d0, months)
    for _, section in protocol:
        for name, number in section if isinstance(section, BaseModel) else ():
            if isinstance(number, int) and name.endswith("_months"):
                yield add_months(d0, number)
            elif isinstance(number, int) and name.endswith("_days"):
                yield add_days(d0, number)


def _gaps(record: PatientRecord, protocol: Protocol, d0: date) -> Iterator[date]:
    """The days that the protocol counts from a result, a therapy or a contact.

    They are the confirmation of a failing PSA, the continuation of hormone therapy, and the gap
    before a death that nobody was there to see.
    """
    confirm = protocol.biochemical_failure.confirm_days
    for result in record.psa if confirm is not None else ():
        yield add_days(result.when.first, confirm or 0)
    for therapy in record.therapies:
        if therapy.kind is TherapyKind.HORMONE:
            for span in _therapy_spans(therapy):
                yield add_days(span.last, protocol.hormone_therapy.continuation_days)
    for item in record.items():
        dated = item.span
        if dated is not None and dated.last > d0:
            yield add_months(dated.first, protocol.survival.death_gap_months)


def _therapy_spans(therapy: Therapy) -> Iterator[Span]:
    yield from (span for span in (therapy.when, therapy.end) if span is not None)
