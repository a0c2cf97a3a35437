"""The timeline of a patient: index treatment, death, and what exists up to as-of.

The definitions prescribe the sequence: find the date or interval of each resource; drop what begins
after as-of; move or clip to the day of death; then apply the rules.
"""

from datetime import date

import msgspec

from fhircryo.calendar import Span, add_days
from fhircryo.mapping.protocol import Protocol
from fhircryo.record.items import Issue, PatientRecord, Reason, Treatment, VagueTreatment


class Timeline(msgspec.Struct):
    """The record of one patient, relative to D0 and up to as-of.

    ``treatment``: the Procedures of the index treatment, the index procedure first. ``last_day``:
    the last possible day of the index treatment. ``treatment_refs``: the Procedures of the index
    treatment, and those that they are sessions of. ``repeats``: later cryoablations. ``died``: the
    day or interval of the death as recorded, unless it is after as-of or before D0.
    ``died_undated``: the patient died, but the date is not known. ``issues``: what is not used and
    why.
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
    issues: list[Issue]
    #: The precise date of a death after D0: no event can happen after it.
    day_of_death: date | None = None
    treatment_refs: frozenset[str] = frozenset()

    @property
    def index(self) -> Treatment:
        """The index procedure."""
        return self.treatment[0]

    def settle(self, when: Span) -> Span | None:
        """Return the interval of a clinical event, moved or clipped to the day of death.

        None if it begins after as-of.
        """
        if when.first > self.as_of:
            return None
        death = self.day_of_death
        if death is None or when.last <= death:
            return when
        return Span(min(when.first, death), death)

    def measured(self, ref: str, when: Span) -> bool:
        """Return whether a PSA or questionnaire is dated up to as-of and up to the death.

        One that is not is reported.
        """
        if when.first > self.as_of:
            self.report(ref, Reason.AFTER_AS_OF)
            return False
        death = self.day_of_death
        if death is not None and when.first > death:
            self.report(ref, Reason.AFTER_DEATH)
            return False
        return True

    def report(self, ref: str, reason: Reason, detail: str = "", *, used: bool = False) -> None:
        """Report that a resource is not used, or that it is used but has a problem (``used``)."""
        self.issues.append(Issue(ref, reason, detail, used))


def build_timeline(record: PatientRecord, protocol: Protocol, as_of: date) -> Timeline | None:
    """Return the timeline of a patient; None without an index procedure up to as-of."""
    issues: list[Issue] = []
    candidates = []
    for candidate in record.treatments:
        if candidate.when.first > as_of:
            issues.append(Issue(candidate.ref, Reason.AFTER_AS_OF))
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
            issues.append(Issue(item.ref, item.reason, item.detail))
    died, undated = _death(record, d0, as_of, issues)
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
        issues,
        day_of_death=died.first if died is not None and ends else None,
        treatment_refs=frozenset(
            ref for procedure in treatment for ref in (procedure.ref, *procedure.sessions)
        ),
    )


def _death(
    record: PatientRecord, d0: date, as_of: date, issues: list[Issue]
) -> tuple[Span | None, bool]:
    facts = record.facts
    if facts is None:
        return None, False
    died = facts.died
    if died is None:
        if facts.died_undated:
            issues.append(Issue(facts.ref, Reason.NO_USABLE_DATE, "died, undated", used=True))
        return None, facts.died_undated
    if died.first > as_of:
        issues.append(Issue(facts.ref, Reason.AFTER_AS_OF, "the death", used=True))
        return None, False
    if died.last < d0:
        detail = "a death before the index procedure"
        issues.append(Issue(facts.ref, Reason.VALUE, detail, used=True))
        return None, False
    return died, False
