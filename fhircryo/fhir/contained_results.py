"""Reads the results that a DiagnosticReport contains.

Source: https://hl7.org/fhir/R4/diagnosticreport.html
"""

from collections.abc import Iterator

import msgspec

from fhircryo.errors import UnreadableResource
from fhircryo.fhir.decode import decode, is_there
from fhircryo.fhir.wire import (
    ARRAY,
    HEAD,
    PANEL,
    WITHDRAWN,
    DiagnosticReport,
    Meta,
    Observation,
    Reference,
    TypeAndId,
)

_OBSERVATION = "Observation"


def results_of(report: DiagnosticReport) -> Iterator[tuple[int, Observation | None, str]]:
    """Yield the contained Observations that are results of a report, by their index.

    A result is named in ``result``, or is a member of a panel that is. It has the subject, the date
    and the version of the report where it states none, and the status of a report that was
    withdrawn. Of what cannot be read, the error is yielded instead.
    """
    if not is_there(report.contained):
        return
    try:
        contained = ARRAY.decode(bytes(report.contained))
        heads = [HEAD.decode(one) for one in contained]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        yield 0, None, f"what the report contains cannot be read: {error}"
        return
    named = _named(report, contained, heads)
    for number, (content, head) in enumerate(zip(contained, heads, strict=True)):
        if head.resource_type != _OBSERVATION or head.id not in named:
            continue
        if not report.id:
            yield number, None, "a DiagnosticReport without id: its results cannot be named"
            continue
        try:
            _, result = decode(bytes(content))
        except UnreadableResource as error:
            yield number, None, str(error)
        else:
            yield number, _completed(result, report), ""


def _named(
    report: DiagnosticReport, contained: list[msgspec.Raw], heads: list[TypeAndId]
) -> set[str | None]:
    """Return the ids of the contained resources that are results, or members of results."""
    named: set[str | None] = set()
    new = _ids(report.result)
    while new:
        named |= new
        members: set[str | None] = set()
        for content, head in zip(contained, heads, strict=True):
            if head.id in new and head.resource_type == _OBSERVATION:
                try:
                    members |= _ids(PANEL.decode(content).has_member)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    continue  # Decoding the Observation tells it.
        new = members - named
    return named


def _ids(references: list[Reference] | None) -> set[str | None]:
    found = ((one.reference or "").strip() for one in references or ())
    return {reference[1:] for reference in found if reference.startswith("#")}


def _completed(result: Observation, report: DiagnosticReport) -> Observation:
    """Return a result with what only its report states."""
    meta, own = report.meta or Meta(), result.meta or Meta()
    result.meta = Meta(
        meta.version_id, meta.last_updated, [*(meta.security or ()), *(own.security or ())] or None
    )
    if report.status in WITHDRAWN:
        result.status = report.status
    if result.subject is None:
        result.subject = report.subject
    if not (result.effective_date_time or result.effective_period or result.effective_instant):
        result.effective_date_time = report.effective_date_time
        result.effective_period = report.effective_period
    if not bytes(result.contained):
        result.contained = report.contained
    return result
