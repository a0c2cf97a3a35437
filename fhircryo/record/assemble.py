"""Assembles collected items into one record per patient."""

from collections import ChainMap, Counter
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass

from fhircryo.record.collector import Counted, Facts, Older, is_listed, problem_of, type_of
from fhircryo.record.items import (
    AdverseEvent,
    Diagnosis,
    Dropped,
    Drug,
    Finding,
    Issue,
    Item,
    Malignancy,
    NotUsed,
    PatientFacts,
    PatientRecord,
    Reason,
    Therapy,
    Treatment,
)
from fhircryo.record.patients import Patients

Items = MutableMapping[str, Item]


@dataclass
class Records:
    """The records of the cohort's candidates, and what is reported about everything else.

    ``counted``: resources that are counted and not listed. ``listed``: issues of resources that
    belong to no record, each with its patient where there is one. ``older``: older versions.
    ``drugs``: how many Medications the therapies of the records refer to.
    """

    records: dict[str, PatientRecord]
    counted: Counter[Counted]
    listed: list[tuple[Issue, str]]
    older: list[Older]
    drugs: int


def assemble(
    items: dict[str, Item],
    facts: Facts,
    patients: Patients,
    shared: Mapping[str, Item] | None = None,
) -> Records:
    """One record for each patient with a candidate index procedure who may be computed.

    ``items``, by reference, is changed: therapies take over the drug of their Medication, and
    findings learn whether the prostate cancer is their primary. ``shared``: what the items may
    refer to beside one another, where they are those of some patients only.
    """
    # A change of the map is one of ``items``: the first of the two is the one that is written to.
    known: Items = ChainMap(items, dict(shared)) if shared else items
    test_patients = {
        patients.current(item.patient)
        for item in items.values()
        if type(item) is PatientFacts and item.test_data
    }
    records = {
        current: PatientRecord(current)
        for item in items.values()
        if type(item) is Treatment
        and patients.allowed(current := patients.current(item.patient))
        and current not in test_patients
    }
    found = Records(records, Counter(facts.counted), [], facts.older, 0)
    # Resolving a therapy replaces the value of its key, so the values are taken beforehand.
    for item in list(items.values()):
        if type(item) is not Drug:
            _place(item, found, known, patients, test_patients)
    for record in records.values():
        _find_foreign_events(record, known, facts)
        _find_primaries(record, known, facts)
    found.drugs = count_drugs(items.values(), named_drugs(records.values()), found.counted)
    return found


def _place(
    item: Item, found: Records, items: Items, patients: Patients, test_patients: set[str]
) -> None:
    """Add an item to its patient's record, list it, or count it."""
    current = patients.current(item.patient) if item.patient else ""
    record = found.records.get(current)
    listed = _has_no_owner(item, current) or current in test_patients
    if type(item) is Therapy and item.medication and (listed or record is not None):
        item = _resolved(item, items)
    if type(item) is Dropped:
        found.counted[item.reason, type_of(item.ref), item.code] += 1
    elif listed or (record is None and is_listed(item)):
        if current and not patients.allowed(current):
            found.counted[Reason.NOT_IN_COHORT, type_of(item.ref), item.code] += 1
        else:
            found.listed.append((_issue(item), current))
    elif record is None:
        found.counted[Reason.NOT_IN_COHORT, type_of(item.ref), item.code] += 1
    elif type(item) is PatientFacts:
        _add_facts(record, item, current)
    else:
        record.add(item)


def _resolved(item: Therapy, items: Items) -> Therapy | Dropped:
    """A therapy with the drug of its Medication; it is only counted where that is not mapped."""
    drug = items.get(item.medication)
    if type(drug) is Drug:
        item.code = drug.code
        item.kind = drug.kind
        return item
    dropped = Dropped(
        reason=Reason.UNMAPPED_CODE, ref=item.ref, patient=item.patient, code=item.code
    )
    items[item.ref] = dropped
    return dropped


def named_drugs(records: Iterable[PatientRecord]) -> set[str]:
    """The Medications that the therapies of records refer to."""
    named = {therapy.medication for record in records for therapy in record.therapies}
    named.discard("")
    return named


def count_drugs(items: Iterable[Item], named: set[str], counted: Counter[Counted]) -> int:
    """How many Medications the therapies of the records name; the others are counted."""
    used = 0
    for item in items:
        if type(item) is not Drug:
            continue
        if item.ref in named:
            used += 1
        else:
            counted[Reason.NOT_IN_COHORT, type_of(item.ref), item.code] += 1
    return used


def _has_no_owner(item: Item, current: str) -> bool:
    """Whether an item belongs to no patient's record: no subject, or test data."""
    if not current or problem_of(item) is Reason.TEST_DATA:
        return True
    return isinstance(item, NotUsed) and item.reason is Reason.TEST_DATA


def _issue(item: Item) -> Issue:
    if isinstance(item, NotUsed):
        return Issue(item.ref, item.reason, item.detail)
    return Issue(item.ref, problem_of(item) or Reason.TEST_DATA)


def _add_facts(record: PatientRecord, facts: PatientFacts, current: str) -> None:
    """Keep the Patient resource that counts, and the others of a merged patient beside it."""
    if record.facts is None:
        record.facts = facts
    elif _precedence(facts, current) > _precedence(record.facts, current):
        record.former.append(record.facts)
        record.facts = facts
    else:
        record.former.append(facts)


def _precedence(facts: PatientFacts, current: str) -> tuple[bool, bool, bool, bool, str]:
    """The Patient resource that states a death counts, else that of the remaining patient.

    A death with a date counts before one without, a day before a month or year.
    """
    died = facts.died
    precise = died is not None and died.precise
    return (died is not None, precise, facts.died_undated, facts.patient == current, facts.ref)


def _find_foreign_events(record: PatientRecord, items: Items, facts: Facts) -> None:
    """Note the adverse events that the gradings refer to and that are not in the record."""
    if not record.gradings:
        return
    own = {event.ref for event in record.adverse_events}
    for grading in record.gradings:
        for ref in grading.events:
            if ref in own:
                continue
            item = items.get(ref)
            if type(item) is AdverseEvent:
                record.foreign_events[ref] = item.when
            elif ref in facts.events:
                record.foreign_events[ref] = facts.events[ref]


def _find_primaries(record: PatientRecord, items: Items, facts: Facts) -> None:
    """Note of each finding that names its primary cancer whether it is the prostate cancer."""
    for finding in record.findings:
        if finding.of_prostate is None and finding.primaries:
            stated = {
                _is_prostate(ref, items, facts) for ref in finding.primaries if ref != finding.ref
            }
            finding.of_prostate = True if True in stated else False if False in stated else None


def _is_prostate(ref: str, items: Items, facts: Facts) -> bool | None:
    """Whether a Condition is the prostate cancer or an event of it; None: the source lacks it."""
    item = items.get(ref)
    if item is None:
        return False if ref in facts.unmapped_primaries else None
    if type(item) is Dropped:
        return False
    if problem_of(item) is Reason.TEST_DATA:
        return None
    if type(item) is Diagnosis:
        return item.malignancy is Malignancy.PROSTATE_CANCER
    return True if type(item) is Finding else None
