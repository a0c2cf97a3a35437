"""Where patients were lost on the way from the source to the cohort."""

import msgspec

from fhircryo.record.collector import type_of
from fhircryo.record.items import NotUsed, Treatment
from fhircryo.research.build import Built
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig
from fhircryo.sources.lacking import lacking_types


class Lost(msgspec.Struct, frozen=True):
    """Patients who are not in the cohort, and why; None where too few to be shown."""

    words: str
    patients: int | None


class Flow(msgspec.Struct, frozen=True):
    """From the source to the cohort.

    ``patients_read``: Patient resources; ``candidates``: patients with a procedure that can be the
    index; ``lost``: of these. ``procedures``: cryoablations that cannot be the index, by reason.
    ``lacking``: types that the source does not hold; ``unreadable``: lines and files.
    """

    resources_read: int
    patients_read: int
    candidates: int | None
    lost: list[Lost]
    cohort: int
    procedures: dict[str, int | None]
    lacking: list[str]
    unreadable: int


def flow_of(read: ReadResult, job: RunConfig, built: Built, cohort: int) -> Flow:
    """The flow of a cohort that was built."""
    facts, patients = read.collected.facts, read.collected.patients
    candidates = {
        patients.current(item.patient)
        for item in read.collected.items.values()
        if type(item) is Treatment and item.patient
    }
    objected = {patients.current(one) for one in job.selection.exclude} & candidates
    allowed = {one for one in candidates if patients.allowed(one)}
    lost = [
        Lost("objected (--exclude)", len(objected)),
        Lost("not on the list (--patients)", len(candidates - allowed - objected)),
        Lost("labelled as test data", len(allowed - read.records.records.keys())),
        Lost("index procedure after the data cut-off", built.index_after_as_of),
        Lost("index procedure outside --from and --to", built.index_out_of_range),
    ]
    return Flow(
        resources_read=sum(facts.seen.values()),
        patients_read=facts.seen["Patient"],
        candidates=len(candidates),
        lost=[one for one in lost if one.patients],
        cohort=cohort,
        procedures=_procedures(read, candidates),
        lacking=lacking_types(read.lacking),
        unreadable=len(facts.unreadable),
    )


def _procedures(read: ReadResult, candidates: set[str]) -> dict[str, int | None]:
    """Patients without an index procedure whose cryoablation cannot be one, by its reason."""
    patients = read.collected.patients
    found: dict[str, set[str]] = {}
    for item in read.collected.items.values():
        if not isinstance(item, NotUsed) or type_of(item.ref) != "Procedure" or not item.patient:
            continue
        current = patients.current(item.patient)
        if current not in candidates:
            found.setdefault(str(item.reason), set()).add(current)
    return {reason: len(whose) for reason, whose in sorted(found.items())}


def flow_words(flow: Flow) -> list[str]:
    """The flow as lines for people."""
    lines = [
        f"patients read         {flow.patients_read:>8}",
        f"with a cryoablation   {_count(flow.candidates):>8}",
    ]
    lines += [f"  lost                {_count(one.patients):>8}   {one.words}" for one in flow.lost]
    lines.append(f"in the cohort         {flow.cohort:>8}")
    for reason, count in flow.procedures.items():
        lines.append(f"  no index procedure  {_count(count):>8}   its cryoablation: {reason}")
    return lines


def _count(count: int | None) -> str:
    return "few" if count is None else str(count)
