"""The flow of patients in an aggregate, and numbers of resources."""

from msgspec.structs import replace

from fhircryo.research.flow import Exclusion, Flow
from fhircryo.research.statistics.suppress import POOLED, is_small, pool_small

#: Numbers of resources are rounded to multiples of this.
_STEP = 100
_POOLED_REASONS = "for reasons that are not shown apart"
_ANY_REASON = "the reasons are not shown"
_WITHHELD = "the server withholds some"


def step_of(threshold: int) -> int:
    """What numbers of resources are rounded to: hundreds, as many as hold a small group.

    A resource is often a patient.
    """
    return -(-threshold // _STEP) * _STEP


def rounded(count: int | None, threshold: int) -> int | None:
    """A number of resources, rounded; None if it is less than what it is rounded to, and not 0."""
    step = step_of(threshold)
    if not count:
        return count
    return None if count < step else round(count / step) * step


def shown_flow(flow: Flow, threshold: int) -> Flow:
    """The flow without numbers that are small, or differ by a small group.

    From the source to the cohort each step lies within the one before, so that only differences of
    two steps that follow each other can be computed.
    """
    cohort = flow.cohort or 0
    small = is_small(cohort, threshold)
    # That few patients have no event, or no resource of a type, is a statement about few.
    few = small or is_small(flow.patients_read or 0, threshold)
    steps = [] if small else [cohort]

    def fits(number: int | None) -> bool:
        """Whether a number may be shown beside the smaller ones that are; shows it then."""
        if number is None or small or is_small(abs(number - steps[-1]), threshold):
            return False
        steps.append(number)
        return True

    candidates = flow.candidates if fits(flow.candidates) else None
    lost = {excluded.words: excluded.patients or 0 for excluded in flow.lost}
    pooled = {} if candidates is None else pool_small(lost, threshold)
    not_index = flow.not_index if fits(steps[-1] + flow.not_index if steps else None) else None
    patients_read = flow.patients_read if fits(flow.patients_read) else None
    return replace(
        flow,
        resources_read=None if small else rounded(flow.resources_read, threshold),
        patients_read=patients_read,
        candidates=candidates,
        lost=[
            Exclusion(_POOLED_REASONS if words == POOLED else words, count)
            for words, count in pooled.items()
        ],
        cohort=None if small else flow.cohort,
        procedures={_ANY_REASON: not_index} if not_index else {},
        lacking=[one for one in flow.lacking if one in flow.withheld or not few],
        never_stated=[] if few else flow.never_stated,
        unreadable=None if flow.unreadable else 0,
        withheld=dict.fromkeys(flow.withheld, _WITHHELD),
        not_index=0,
        # The first year may be that of one patient.
        index_years=None,
    )
