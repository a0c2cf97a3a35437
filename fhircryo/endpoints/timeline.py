"""The patient's time line: index treatment, death, and what exists up to as-of.

The sequence of the definitions: find the span of each resource; drop what begins after as-of; move
or clip to the day of death; then the rules.
"""

from datetime import date

import msgspec

from fhircryo.calendar import Span, add_days
from fhircryo.mapping.protocol import Protocol
from fhircryo.record.items import Issue, PatientRecord, Reason, Treatment, VagueTreatment


class Timeline(msgspec.Struct):
    """One patient's record seen from D0 and cut at as-of.

    ``treatment``: the Procedures of the index treatment, the index first, none of them later than
    ``last_day``; ``repeats``: later cryoablations. ``died``: his death, in or after the index
    treatment and known by as-of; ``died_undated``: he died, nobody knows when.
    ``notices`` gathers what is not used and why.
    """

    record: PatientRecord
    protocol: Protocol
    as_of: date
    d0: date
    last_day: date
    treatment: tuple[Treatment, ...]
    repeats: tuple[Treatment, ...]
    died: Span | None
    died_undated: bool
    notices: list[Issue]
    #: The precise day, after D0, from which on nothing more can happen to him.
    day_of_death: date | None = None

    @property
    def index(self) -> Treatment:
        """The index procedure."""
        return self.treatment[0]

    def settle(self, when: Span) -> Span | None:
        """A clinical event's span, moved or clipped to the day of death; None if after as-of."""
        if when.first > self.as_of:
            return None
        death = self.day_of_death
        if death is None or when.last <= death:
            return when
        return Span(min(when.first, death), death)

    def measured(self, ref: str, when: Span) -> bool:
        """Whether a PSA or questionnaire of a precise day exists by as-of and before his death."""
        if when.first > self.as_of:
            self.tell(ref, Reason.AFTER_AS_OF)
            return False
        death = self.day_of_death
        if death is not None and when.first > death:
            self.tell(ref, Reason.AFTER_DEATH)
            return False
        return True

    def tell(self, ref: str, reason: Reason, detail: str = "", *, used: bool = False) -> None:
        """Note that a resource is not used, or used with something to say of it."""
        self.notices.append(Issue(ref, reason, detail, used))


def timeline(record: PatientRecord, protocol: Protocol, as_of: date) -> Timeline | None:
    """The time line of a patient; None where he has no index procedure by as-of."""
    notices: list[Issue] = []
    candidates = []
    for candidate in record.treatments:
        if candidate.when.first > as_of:
            notices.append(Issue(candidate.ref, Reason.AFTER_AS_OF))
        else:
            candidates.append(candidate)
    if not candidates:
        return None
    if len(candidates) > 1:
        candidates.sort(key=lambda candidate: (*candidate.when.order, candidate.ref))
    d0 = candidates[0].when.first
    last = add_days(d0, protocol.index.treatment_days)
    treatment = tuple(candidate for candidate in candidates if candidate.when.first <= last)
    for item in record.not_used:
        if not isinstance(item, VagueTreatment):
            notices.append(Issue(item.ref, item.reason, item.detail))
    died, undated = _death(record, d0, as_of, notices)
    ends = died is not None and died.precise and died.first > d0
    return Timeline(
        record,
        protocol,
        as_of,
        d0,
        last,
        treatment,
        tuple(candidates[len(treatment) :]),
        died,
        undated,
        notices,
        day_of_death=died.first if died is not None and ends else None,
    )


def _death(
    record: PatientRecord, d0: date, as_of: date, notices: list[Issue]
) -> tuple[Span | None, bool]:
    facts = record.facts
    if facts is None:
        return None, False
    died = facts.died
    if died is None:
        if facts.died_undated:
            notices.append(Issue(facts.ref, Reason.NO_USABLE_DATE, "died, undated", used=True))
        return None, facts.died_undated
    if died.first > as_of:
        notices.append(Issue(facts.ref, Reason.AFTER_AS_OF, "the death", used=True))
        return None, False
    if died.last < d0:
        detail = "a death before the index procedure"
        notices.append(Issue(facts.ref, Reason.VALUE, detail, used=True))
        return None, False
    return died, False
