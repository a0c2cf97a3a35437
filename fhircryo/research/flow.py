"""The flow of patients from the source to the cohort, and why some are excluded."""

import msgspec

from fhircryo.record.stated import never_stated
from fhircryo.research.table_builder import BuiltCounts
from fhircryo.runs.read_source import ReadResult
from fhircryo.sources.lacking import lacking_types

#: Stands for a number that may not be shown.
NOT_SHOWN = "not shown"
#: Why candidates are not in the cohort: the dates that were asked for.
OUTSIDE_DATES = "index procedure outside --from and --to"


class Exclusion(msgspec.Struct, frozen=True):
    """How many candidates are not in the cohort for a reason; None if too few to be shown."""

    words: str
    patients: int | None


class Flow(msgspec.Struct, frozen=True):
    """The numbers of patients from the source to the cohort.

    ``patients_read``: Patient resources. ``candidates``: patients with a procedure that can be the
    index procedure; ``lost``: the candidates who are not in the cohort. ``not_index``: the other
    patients with a cryoablation, which cannot be the index procedure; ``procedures``: these by
    reason, of which a patient may have several. ``lacking``: the resource types that the source
    does not hold, or of which it withholds some; ``withheld``: the server's words about those of
    which it does. ``index_years``: the first and the last year of an index procedure of the cohort;
    None if it is empty, or if they may not be shown. ``never_stated``: the kinds of events that no
    resource of the source is mapped to. ``unreadable``: how many lines and files. A number is None
    if it may not be shown.
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
    index_years: tuple[int, int] | None = None


def flow_of(read: ReadResult, counts: BuiltCounts) -> Flow:
    """The flow of patients from a source to the cohort whose tables were built.

    ``counts``: of all patients.
    """
    facts, found = read.collected.facts, counts.candidates
    lost = [
        Exclusion("objected (--exclude)", found.objected),
        Exclusion("not on the list (--patients)", found.not_listed),
        Exclusion("labelled as test data", found.test),
        Exclusion("index procedure after the data cut-off", counts.after_as_of),
        Exclusion(OUTSIDE_DATES, counts.out_of_range),
    ]
    return Flow(
        resources_read=sum(facts.seen.values()),
        patients_read=facts.seen.get("Patient", 0),
        candidates=found.all,
        lost=[excluded for excluded in lost if excluded.patients],
        cohort=counts.cohort,
        procedures=dict(sorted(found.procedures.items())),
        lacking=lacking_types(read.lacking, read.collected.withheld),
        never_stated=never_stated(facts.stated),
        unreadable=facts.number_unreadable,
        withheld=dict(sorted(read.collected.withheld.items())),
        not_index=found.not_index,
        index_years=(counts.first_year, counts.last_year) if counts.cohort else None,
    )


#: Stands for a number in lines of text that may not be shown.
_HIDDEN = "hidden"


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
    return _HIDDEN if count is None else str(count)


def hidden_words(flow: Flow) -> list[str]:
    """What an aggregate says of the numbers in its flow that are not shown, as lines of text."""
    if flow.cohort is None:
        return [
            "The cohort has fewer patients than the setting smallest_group: nothing about so few is"
            " shown."
        ]
    if None in (flow.patients_read, flow.candidates, *(lost.patients for lost in flow.lost)):
        return [
            f"{_HIDDEN}: a small number (below the setting smallest_group), or one from which such"
            " a number could be computed."
        ]
    return []
