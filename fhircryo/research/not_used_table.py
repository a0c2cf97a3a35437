"""The rows of the table of resources that were read and not used."""

from collections import Counter
from collections.abc import Mapping

from fhircryo.fhir.resource_names import KNOWN_TYPES
from fhircryo.record.collector import type_of
from fhircryo.record.items import Reason
from fhircryo.research.cells import Row
from fhircryo.research.columns import NO_CODE
from fhircryo.runs.read_source import ReadResult

#: The type of an unreadable resource whose type is not one of FHIR's.
_OTHER_TYPE = "other"

#: A reason, the resource type, and the code (empty: not counted by code).
NotUsedKey = tuple[str, str, str]


def not_used_rows(
    read: ReadResult, of_candidates: Mapping[NotUsedKey, int], *, identified: bool
) -> list[Row]:
    """All resources that were not used, also those of other patients and of no patient.

    ``of_candidates``: the resources of candidates, which the cohort's computation counted.
    """
    total = Counter(of_candidates)
    for (reason, kind, code), count in (read.records.counted + read.older_of_others).items():
        total[reason, kind, code if identified else ""] += count
    for issue, _ in read.records.listed:
        total[issue.reason, type_of(issue.ref), ""] += 1
    for unreadable in read.collected.facts.all_unreadable:
        kind = unreadable.kind if unreadable.kind in KNOWN_TYPES else _OTHER_TYPE
        total[Reason.UNREADABLE, kind, ""] += 1 + unreadable.further
    order = {str(reason): number for number, reason in enumerate(Reason)}
    return [
        {"reason": reason, "resource_type": kind, "code": code or NO_CODE, "count": count}
        for (reason, kind, code), count in sorted(
            total.items(), key=lambda pair: (order[pair[0][0]], *pair[0][1:])
        )
    ]
