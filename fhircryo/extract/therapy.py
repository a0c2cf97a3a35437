"""Therapies of any type of resource: their dates, and the reason why one is not used."""

from dataclasses import dataclass

from fhircryo.calendar import Span
from fhircryo.extract.context import Context, Named
from fhircryo.fhir.wire import Period
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.record.items import Reason, Therapy, TherapyKind

SALVAGE_THERAPY = "salvage-therapy"

Dates = tuple[str | Period | None, ...]


@dataclass(frozen=True)
class Course:
    """When a therapy was given, and with which status.

    ``dates``: the elements that date it; the first that is present decides, of a period the start.
    ``end``: the end of its period as read (None: none is recorded). ``status_problem``: why its
    status does not count (empty: it does).
    """

    status: str | None
    dates: Dates
    end: Span | None = None
    status_problem: str = ""


def drug_kind(entry: CodeEntry | None) -> TherapyKind:
    """Return the kind of a salvage therapy that is a drug: hormone, where its code states none."""
    return TherapyKind(entry.kind) if entry is not None and entry.kind else TherapyKind.HORMONE


def procedure_kind(entry: CodeEntry) -> TherapyKind:
    """Return the kind of a salvage therapy that is a Procedure: local, where its code has none."""
    return TherapyKind(entry.kind) if entry.kind else TherapyKind.LOCAL


def therapy(named: Named, context: Context, course: Course, kind: TherapyKind) -> Therapy:
    """Return a therapy, with the reason why it does not count, if any."""
    written, when = context.first_date(*course.dates)
    problem, detail = None, ""
    if context.is_test(named.meta):
        problem = Reason.TEST_DATA
    elif not named.patient:
        problem = Reason.NO_SUBJECT
    elif course.status_problem:
        problem, detail = Reason.STATUS, course.status_problem
    elif when is None:
        detail = "no date" if written is None else "the date is not a FHIR date"
    return Therapy(
        when=when,
        kind=kind,
        end=course.end,
        ongoing=course.end is None and course.status in context.mappings.statuses.therapy_ongoing,
        problem=problem,
        detail=detail,
        **named.fields(),
    )


def end_of(context: Context, *periods: Period | None) -> Span | None:
    """Return the latest end of the periods (None: none is recorded, or can be read)."""
    ends = [context.dates.read(one.end) for one in periods if one is not None and one.end]
    return max((end for end in ends if end is not None), key=lambda end: end.last, default=None)
