"""Extracts Conditions: metastases and local recurrences."""

from fhircryo.calendar import Span
from fhircryo.extract.context import Context, Named, label_of, only_counted
from fhircryo.fhir.wire import Condition
from fhircryo.record.items import EventKind, Finding, Item, Reason

_KINDS = {"metastasis": EventKind.METASTASIS, "local-recurrence": EventKind.LOCAL_RECURRENCE}


def condition(resource: Condition, ref: str, context: Context) -> Item:
    """Return the item of a Condition."""
    entry = next(
        (e for e in context.entries(resource.code, resource) if e.concept in _KINDS),
        None,
    )
    own = resource.identifier is not None and context.is_own(resource.identifier)
    if entry is None or own:
        return only_counted(resource, ref, context, label_of(resource.code), own=own)
    named = Named(ref, resource.meta, context.patient(resource.subject), entry.label)
    if context.is_test(resource.meta):
        return named.not_used(Reason.TEST_DATA)
    if not named.patient:
        return named.not_used(Reason.NO_SUBJECT)
    verification = resource.verification_status
    if verification is not None:
        codes = {coding.code for coding in verification.coding or ()}
        if codes.isdisjoint(context.mappings.statuses.condition_verification):
            return named.not_used(Reason.STATUS, "verificationStatus is not confirmed")
    when, recorded_only = _dated(resource, context)
    return Finding(
        kind=_KINDS[entry.concept],
        when=when,
        recorded_only=recorded_only,
        **named.fields(),
    )


def _dated(resource: Condition, context: Context) -> tuple[Span | None, bool]:
    """Return the interval of the onset, or of the recorded date if there is no onset.

    The second value tells whether it is that of the recorded date. An imprecise onset ends no later
    than a precise recorded date.
    """
    written, onset = context.first_date(resource.onset_date_time, resource.onset_period)
    recorded = context.dates.read(resource.recorded_date) if resource.recorded_date else None
    if written is None:
        return recorded, recorded is not None
    if onset is None or onset.precise or recorded is None or not recorded.precise:
        return onset, False
    if recorded.first < onset.first:
        return onset, False
    # A Condition that was recorded on a day had begun by that day.
    return Span(onset.first, min(onset.last, recorded.first)), False
