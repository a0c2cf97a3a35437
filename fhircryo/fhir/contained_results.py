"""Reads the results that a DiagnosticReport contains.

Source: https://hl7.org/fhir/R4/diagnosticreport.html
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from fhircryo.errors import UnreadableResource
from fhircryo.fhir.decode import decode, decode_element, is_there
from fhircryo.fhir.wire import (
    ABSENT,
    ARRAY,
    HEAD,
    PANEL,
    REFERENCES,
    TEST_LABEL,
    WITHDRAWN,
    Coding,
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
    common = _common(report, contained, heads)
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
            yield number, _completed(result, report, common), ""


def _named(
    report: DiagnosticReport, contained: list[msgspec.Raw], heads: list[TypeAndId]
) -> set[str | None]:
    """Return the ids of the contained resources that are results, or members of results."""
    observations: dict[str | None, list[msgspec.Raw]] = {}
    for content, head in zip(contained, heads, strict=True):
        if head.resource_type == _OBSERVATION:
            observations.setdefault(head.id, []).append(content)
    named = _ids(report.result)
    waiting = list(named)
    while waiting:
        for content in observations.get(waiting.pop(), ()):
            try:
                members = _ids(PANEL.decode(content).has_member)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue  # Decoding the Observation tells it.
            waiting += members - named
            named |= members
    return named


def _ids(references: list[Reference] | None) -> set[str | None]:
    found = ((one.reference or "").strip() for one in references or ())
    return {reference[1:] for reference in found if reference.startswith("#")}


class _Common(NamedTuple):
    """What all results of a report share, found once.

    ``labels``: that the report is test data, if it is; ``specimens``: the contained resources that
    a specimen may refer to, by their ids; of several with one id, the first.
    """

    labels: list[Coding]
    specimens: dict[str, msgspec.Raw]


def _common(
    report: DiagnosticReport, contained: list[msgspec.Raw], heads: list[TypeAndId]
) -> _Common:
    security = report.meta.security if report.meta else None
    labels = [one for one in security or () if (one.system, one.code) == TEST_LABEL]
    specimens: dict[str, msgspec.Raw] = {}
    for content, head in zip(contained, heads, strict=True):
        if head.id and head.resource_type != _OBSERVATION:
            specimens.setdefault(head.id, content)
    return _Common(labels[:1], specimens)


def _completed(result: Observation, report: DiagnosticReport, common: _Common) -> Observation:
    """Return a result with what only its report states."""
    meta, own = report.meta or Meta(), result.meta or Meta()
    result.meta = Meta(
        meta.version_id, meta.last_updated, [*common.labels, *(own.security or ())] or None
    )
    if report.status in WITHDRAWN:
        result.status = report.status
    if result.subject is None:
        result.subject = report.subject
    if not (result.effective_date_time or result.effective_period or result.effective_instant):
        result.effective_date_time = report.effective_date_time
        result.effective_period = report.effective_period
    if is_there(result.specimen) and not bytes(result.contained):
        result.contained = _specimens(result, common)
    return result


def _specimens(result: Observation, common: _Common) -> msgspec.Raw:
    """Return the contained resources that the specimen of a result refers to, as an array."""
    try:
        references = decode_element(REFERENCES, result.specimen)
    except UnreadableResource:
        return ABSENT  # Whoever needs the specimen reports it.
    names = dict.fromkeys((one.reference or "").removeprefix("#") for one in references)
    found = [bytes(common.specimens[name]) for name in names if name in common.specimens]
    return msgspec.Raw(b"[" + b",".join(found) + b"]")
