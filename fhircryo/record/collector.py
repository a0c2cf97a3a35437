"""Gathers what is read into one record per patient.

Of every resource the latest version counts, whatever order the versions come in. What is of no use
is counted and forgotten, so that memory grows with what is used and not with what is read.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

import msgspec

from fhircryo.calendar import Span, moment
from fhircryo.record.items import (
    AdverseEvent,
    AnyItem,
    Dropped,
    Drug,
    Finding,
    Grading,
    Issue,
    Item,
    NotUsed,
    PatientFacts,
    PatientRecord,
    PsaResult,
    Reason,
    Response,
    Therapy,
    Treatment,
)

#: What is counted and not listed: (reason, type, code).
Counted = tuple[Reason, str, str]


class Unreadable(msgspec.Struct, order=True):
    """A line or file that could not be read: where (part of the input, line in it), and why.

    ``line`` 0 is the file itself; ``kind`` the resource type where that much can be seen.
    """

    part: int
    line: int
    within: str
    detail: str
    kind: str = ""


class Older(msgspec.Struct, order=True):
    """An older version of a resource that was read as well."""

    ref: str
    patient: str


class _State(msgspec.Struct):
    """What a shelf holds, as it goes from process to process."""

    items: list[AnyItem]
    counted: list[tuple[Reason, str, str, int]]
    seen: dict[str, int]
    unreadable: list[Unreadable]
    older: list[Older]
    links: dict[str, str]
    patients: set[str]
    events: dict[str, Span | None]
    graded: set[str]
    overlays_met: set[int]
    met: set[str]
    dropped: bytes
    lines: dict[int, int]
    filled: dict[int, int]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_State)


@dataclass
class RecordCollector:
    """What one reader has read so far.

    ``grading_labels``: the codes of Observations that grade, each with its scale; ``wanted``: the
    patients whose resources are kept (None: all); ``watched``: references that are kept whatever
    they say, because versions of them differ in whether they are of use; ``trace_patient``: a
    patient of whom also what only counts is kept; ``asked``: patients asked for by name.
    """

    grading_labels: Mapping[str, str]
    wanted: frozenset[str] | None = None
    watched: frozenset[str] = frozenset()
    trace_patient: str = ""
    asked: frozenset[str] = frozenset()
    #: Of the patients asked for, those of whom anything was read.
    met: set[str] = field(default_factory=set)
    #: The order of the last item read; the later wins where versions do not decide.
    sequence: int = 0
    kept: dict[str, Item] = field(default_factory=dict)
    counted: Counter[Counted] = field(default_factory=Counter)
    #: Resources by type, all that were read.
    seen: Counter[str] = field(default_factory=Counter)
    unreadable: list[Unreadable] = field(default_factory=list)
    older: list[Older] = field(default_factory=list)
    #: Patients whose resources pass to another.
    links: dict[str, str] = field(default_factory=dict)
    #: Patients with a candidate for the index procedure.
    patients: set[str] = field(default_factory=set)
    #: Adverse events that were let go, with their dates.
    events: dict[str, Span | None] = field(default_factory=dict)
    #: The scales of which there are Observations that grade.
    graded: set[str] = field(default_factory=set)
    #: The overlays of which something was met, by number.
    overlays_met: set[int] = field(default_factory=set)
    #: Hashes of the references that were let go, eight bytes each.
    dropped: "array[int]" = field(default_factory=lambda: array("q"))
    #: By part of the input: its lines, and how many of them hold something.
    lines: dict[int, int] = field(default_factory=dict)
    filled: dict[int, int] = field(default_factory=dict)

    def take(self, item: Item) -> None:
        """Put an item on the shelf, or count it and let it go."""
        kind = type(item)
        if type(item) is PatientFacts:
            if item.replaced_by:
                self.links[item.patient] = item.replaced_by
        elif kind is Treatment:
            self.patients.add(item.patient)
        elif kind is not PsaResult and item.code in self.grading_labels and kind is not Dropped:
            self._see_grading(item)
        if self.asked and item.patient in self.asked:
            self.met.add(item.patient)
        ref = item.ref
        kept = self.kept.get(ref)
        if kept is not None:
            self._replace(kept, item)
        elif (
            kind is not Dropped and (self.wanted is None or item.patient in self.wanted)
        ) or self._keeps(item):
            self.kept[ref] = item
        else:
            self._let_go(item)

    def _see_grading(self, item: Item) -> None:
        scale = self.grading_labels[item.code]
        if scale:
            self.graded.add(scale)
        elif type(item) is Grading:
            # Of whatever scale: what it states shows which.
            self.graded.update(name for name, _ in item.grades)

    def _keeps(self, item: Item) -> bool:
        if item.ref in self.watched:
            return True
        if type(item) is Dropped:
            return item.patient == self.trace_patient != ""
        if self.wanted is None or item.patient in self.wanted or not item.patient:
            return True
        if type(item) is PatientFacts:
            # Who is who must be known of all: he may have objected under another id.
            return bool(item.replaced_by)
        return type(item) is Treatment or _is_told(item)

    def _let_go(self, item: Item) -> None:
        reason = item.reason if type(item) is Dropped else Reason.NOT_IN_COHORT
        self.counted[reason, type_of(item.ref), item.code] += 1
        if type(item) is AdverseEvent:
            self.events[item.ref] = item.when
        self.dropped.append(hash(item.ref))

    def _replace(self, kept: Item, item: Item) -> None:
        newer, older = (item, kept) if _is_newer(item, kept) else (kept, item)
        self.older.append(Older(older.ref, older.patient))
        self.kept[newer.ref] = newer

    def doubtful(self) -> frozenset[str]:
        """References of which one version was kept and another let go."""
        hashes = {hash(ref): ref for ref in self.kept if ref not in self.watched}
        return frozenset(hashes[found] for found in set(hashes).intersection(self.dropped))

    def encode(self) -> bytes:
        """The shelf, to send it to another process of the same program."""
        return _ENCODER.encode(
            _State(
                items=cast("list[AnyItem]", list(self.kept.values())),
                counted=[(*key, count) for key, count in self.counted.items()],
                seen=self.seen,
                unreadable=self.unreadable,
                older=self.older,
                links=self.links,
                patients=self.patients,
                events=self.events,
                graded=self.graded,
                overlays_met=self.overlays_met,
                met=self.met,
                dropped=self.dropped.tobytes(),
                lines=self.lines,
                filled=self.filled,
            )
        )

    def merge(self, encoded: bytes) -> None:
        """Add what another reader's shelf holds, as if this one had read it."""
        other = _DECODER.decode(encoded)
        for item in other.items:
            kept = self.kept.get(item.ref)
            if kept is None:
                self.kept[item.ref] = item
            else:
                self._replace(kept, item)
        for reason, kind, code, count in other.counted:
            self.counted[reason, kind, code] += count
        self.seen.update(other.seen)
        self.unreadable += other.unreadable
        self.older += other.older
        self.links.update(other.links)
        self.patients |= other.patients
        self.events.update(other.events)
        self.graded |= other.graded
        self.overlays_met |= other.overlays_met
        self.met |= other.met
        self.dropped.frombytes(other.dropped)
        self.lines.update(other.lines)
        self.filled.update(other.filled)


def type_of(ref: str) -> str:
    """The resource type of a reference."""
    return ref.partition("/")[0]


def _is_told(item: Item) -> bool:
    """Whether it is listed by name though its patient is outside the cohort.

    A cryoablation that cannot be the index may be why he is; test data are told of always.
    """
    if not isinstance(item, NotUsed):
        return _problem(item) is Reason.TEST_DATA
    return item.reason is Reason.TEST_DATA or type_of(item.ref) == "Procedure"


def _is_newer(item: Item, other: Item) -> bool:
    """Whether an item is of a later version than another of the same resource."""
    if item.updated != other.updated:
        mine, theirs = moment(item.updated), moment(other.updated)
        if mine != theirs:
            return mine > theirs
    one, two = item.version or "", other.version or ""
    if one.isdecimal() and two.isdecimal() and int(one) != int(two):
        return int(one) > int(two)
    return item.sequence > other.sequence


class Patients:
    """Who is who: patients merged into others, asked for, excluded.

    ``include``: only these (None: all); ``exclude``: patients who objected. Both hold for all
    records of the same person.
    """

    def __init__(
        self,
        links: dict[str, str],
        include: frozenset[str] | None = None,
        exclude: frozenset[str] = frozenset(),
    ) -> None:
        self._links = links
        self._include = None if include is None else frozenset(map(self.current, include))
        self._exclude = frozenset(map(self.current, exclude))

    def current(self, patient: str) -> str:
        """The patient that a patient's resources pass to; himself where he was not replaced."""
        if patient not in self._links:
            return patient
        seen = {patient}
        while (successor := self._links.get(patient)) is not None:
            if successor in seen:
                return min(seen)  # links in a circle: all of it is one person
            seen.add(successor)
            patient = successor
        return patient

    def allowed(self, current: str) -> bool:
        """Whether a (current) patient may be computed."""
        if current in self._exclude:
            return False
        return self._include is None or current in self._include

    def wanted(self, candidates: Iterable[str]) -> frozenset[str]:
        """All ids of the persons behind some candidates who may be computed."""
        found = {current for one in candidates if self.allowed(current := self.current(one))}
        aliases = {old for old in self._links if self.current(old) in found}
        return frozenset(found | aliases)


@dataclass
class Records:
    """The records of the cohort's candidates, and what is told of everything else.

    ``drugs``: how many Medications the records' therapies stand on.
    """

    records: dict[str, PatientRecord]
    counted: Counter[Counted]
    #: Of no record, yet told by name; with the patient where there is one.
    listed: list[tuple[Issue, str]]
    #: Older versions, by the patient they belong to.
    older: list[Older]
    drugs: int


def assemble(shelf: RecordCollector, patients: Patients) -> Records:
    """One record per patient who has a candidate for the index procedure and may be computed."""
    counted = Counter(shelf.counted)
    listed: list[tuple[Issue, str]] = []
    test_patients = {
        patients.current(item.patient)
        for item in shelf.kept.values()
        if type(item) is PatientFacts and item.test_data
    }
    records = {
        current: PatientRecord(current)
        for item in shelf.kept.values()
        if type(item) is Treatment
        and patients.allowed(current := patients.current(item.patient))
        and current not in test_patients
    }
    for item in shelf.kept.values():
        if type(item) is Drug:
            continue
        current = patients.current(item.patient) if item.patient else ""
        record = records.get(current)
        told = _is_nobodys(item, current) or current in test_patients
        if type(item) is Therapy and item.medication and (told or record is not None):
            item = _resolved(item, shelf)
        if type(item) is Dropped:
            counted[item.reason, type_of(item.ref), item.code] += 1
            continue
        if told or (record is None and _is_told(item)):
            if current and not patients.allowed(current):
                counted[Reason.NOT_IN_COHORT, type_of(item.ref), item.code] += 1
            else:
                listed.append((_listed(item), current))
        elif record is None:
            counted[Reason.NOT_IN_COHORT, type_of(item.ref), item.code] += 1
        else:
            _add(record, item, current)
    for record in records.values():
        _find_foreign_events(record, shelf)
    drugs = _count_drugs(shelf, records.values(), counted)
    return Records(records, counted, listed, shelf.older, drugs)


def _resolved(item: Therapy, shelf: RecordCollector) -> Therapy | Dropped:
    """A therapy with what the Medication that it names is; one not mapped leaves only a count."""
    drug = shelf.kept.get(item.medication)
    if type(drug) is Drug:
        item.code = drug.code
        return item
    dropped = Dropped(
        reason=Reason.UNMAPPED_CODE, ref=item.ref, patient=item.patient, code=item.code
    )
    shelf.kept[item.ref] = dropped
    return dropped


def _count_drugs(
    shelf: RecordCollector, records: Iterable[PatientRecord], counted: Counter[Counted]
) -> int:
    """How many Medications the records' therapies name; the others only count."""
    named = {therapy.medication for record in records for therapy in record.therapies}
    used = 0
    for ref, item in shelf.kept.items():
        if type(item) is not Drug:
            continue
        if ref in named:
            used += 1
        else:
            counted[Reason.NOT_IN_COHORT, type_of(ref), item.code] += 1
    return used


def _is_nobodys(item: Item, current: str) -> bool:
    if not current or _problem(item) is Reason.TEST_DATA:
        return True
    return isinstance(item, NotUsed) and item.reason is Reason.TEST_DATA


def _problem(item: Item) -> Reason | None:
    return item.problem if isinstance(item, AdverseEvent | Therapy) else None


def _listed(item: Item) -> Issue:
    if isinstance(item, NotUsed):
        return Issue(item.ref, item.reason, item.detail)
    return Issue(item.ref, _problem(item) or Reason.TEST_DATA)


def _add(record: PatientRecord, item: Item | None, current: str) -> None:
    if type(item) is PsaResult:
        record.psa.append(item)
    elif type(item) is Response:
        record.responses.append(item)
    elif isinstance(item, NotUsed):
        record.not_used.append(item)
    elif type(item) is Treatment:
        record.treatments.append(item)
    elif type(item) is Therapy:
        record.therapies.append(item)
    elif type(item) is Finding:
        record.findings.append(item)
    elif type(item) is AdverseEvent:
        record.adverse_events.append(item)
    elif type(item) is Grading:
        record.gradings.append(item)
    elif type(item) is PatientFacts:
        if record.facts is None or _knows_more(item, record.facts, current):
            item, record.facts = record.facts, item
        if item is not None:
            record.former.append(item)


def _knows_more(facts: PatientFacts, other: PatientFacts, current: str) -> bool:
    """Of a merged patient's resources the one that knows his death, else the one that stays."""

    def precedence(one: PatientFacts) -> tuple[bool, bool, bool, str]:
        return (one.died is not None, one.died_undated, one.patient == current, one.ref)

    return precedence(facts) > precedence(other)


def _find_foreign_events(record: PatientRecord, shelf: RecordCollector) -> None:
    """Adverse events that his gradings name and that are not in his record."""
    if not record.gradings:
        return
    own = {event.ref for event in record.adverse_events}
    for grading in record.gradings:
        for ref in grading.events:
            if ref in own:
                continue
            item = shelf.kept.get(ref)
            if type(item) is AdverseEvent:
                record.foreign_events[ref] = item.when
            elif ref in shelf.events:
                record.foreign_events[ref] = shelf.events[ref]
