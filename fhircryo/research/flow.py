"""The flow of patients from the source to the cohort, and why some are excluded."""

import msgspec

from fhircryo.record.collector import type_of
from fhircryo.record.items import NotUsed, Treatment
from fhircryo.record.stated import never_stated
from fhircryo.research.build import BuiltTables
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig
from fhircryo.sources.lacking import lacking_types

#: Stands for a number that may not be shown.
NOT_SHOWN = "not shown"


class Exclusion(msgspec.Struct, frozen=True):
    """How many candidates are not in the cohort for a reason; None if too few to be shown."""

    words: str
    patients: int | None


class Flow(msgspec.Struct, frozen=True):
    """The numbers of patients from the source to the cohort.

    ``patients_read``: Patient resources. ``candidates``: patients with a procedure that can be the
    index procedure; ``lost``: the candidates who are not in the cohort. ``not_index``: the other
    patients with a cryoablation, which cannot be the index procedure; ``procedures``: these by
    reason, of which a patient may have several. ``lacking``: the resource
    types that the source does not hold, or of which it withholds some; ``withheld``: the server's
    words about those of which it does. ``never_stated``: the kinds of events that no resource of
    the source is mapped to. ``unreadable``: how many lines and files. A number
    is None if it may not be shown.
    """

    resources_read: int | None
    patients_read: int | None
    candidates: int | None
    lost: list[Exclusion]
    cohort: int | None
    procedures: dict[str, int | None]
    lacking: list[str]
    never_stated: list[str]
    unreadable: int | None
    withheld: dict[str, str] = {}
    not_index: int = 0


def flow_of(read: ReadResult, config: RunConfig, built: BuiltTables) -> Flow:
    """The flow of patients from a source to the cohort whose tables were built."""
    facts, patients = read.collected.facts, read.collected.patients
    candidates = {
        patients.current(item.patient)
        for item in read.collected.items.values()
        if type(item) is Treatment and item.patient
    }
    objected = {patients.current(patient) for patient in config.selection.exclude} & candidates
    allowed = {patient for patient in candidates if patients.allowed(patient)}
    lost = [
        Exclusion("objected (--exclude)", len(objected)),
        Exclusion("not on the list (--patients)", len(candidates - allowed - objected)),
        Exclusion("labelled as test data", len(allowed - read.records.records.keys())),
        Exclusion("index procedure after the data cut-off", built.index_after_as_of),
        Exclusion("index procedure outside --from and --to", built.index_out_of_range),
    ]
    procedures = _procedures(read, candidates)
    return Flow(
        resources_read=sum(facts.seen.values()),
        patients_read=facts.seen.get("Patient", 0),
        candidates=len(candidates),
        lost=[excluded for excluded in lost if excluded.patients],
        cohort=len(built.tables["patients"]),
        procedures={reason: len(found) for reason, found in sorted(procedures.items())},
        lacking=lacking_types(read.lacking, read.collected.withheld),
        never_stated=never_stated(facts.stated),
        unreadable=len(facts.unreadable),
        withheld=dict(sorted(read.collected.withheld.items())),
        not_index=len(set().union(*procedures.values())),
    )


def _procedures(read: ReadResult, candidates: set[str]) -> dict[str, set[str]]:
    """By reason, the patients with only cryoablations that cannot be the index procedure."""
    patients = read.collected.patients
    by_reason: dict[str, set[str]] = {}
    for item in read.collected.items.values():
        if not isinstance(item, NotUsed) or type_of(item.ref) != "Procedure" or not item.patient:
            continue
        current = patients.current(item.patient)
        if current not in candidates:
            by_reason.setdefault(str(item.reason), set()).add(current)
    return by_reason


def flow_words(flow: Flow) -> list[str]:
    """The flow as lines of text."""
    lines = [
        f"patients read         {_count(flow.patients_read):>8}",
        f"with a cryoablation   {_count(flow.candidates):>8}",
    ]
    lines += [
        f"  lost                {_count(lost.patients):>8}   {lost.words}" for lost in flow.lost
    ]
    lines.append(f"in the cohort         {_count(flow.cohort):>8}")
    for reason, count in flow.procedures.items():
        lines.append(f"  no index procedure  {_count(count):>8}   its cryoablation: {reason}")
    return lines


def _count(count: int | None) -> str:
    return "hidden" if count is None else str(count)
