"""How long a cohort was followed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.catalogue import OVERALL_SURVIVAL
from fhircryo.endpoints.value_types import Detail
from fhircryo.research.endpoint_columns import detail_column
from fhircryo.research.intervals import midpoints
from fhircryo.research.statistics.kaplan_meier import kaplan_meier
from fhircryo.research.table import snake

if TYPE_CHECKING:
    import pandas as pd


class FollowUp(msgspec.Struct, frozen=True):
    """The follow-up of a cohort, in days from the index procedure.

    ``median``: by the reverse Kaplan-Meier method; None if it is not reached. ``shortest`` and
    ``longest``: to the last day on which a patient is known to be alive, or to the death.
    ``without_contact``: the patients of whom nothing is known after the index procedure; they count
    with 0 days.
    """

    patients: int
    deaths: int
    median: int | None
    shortest: int
    longest: int
    without_contact: int


def follow_up(patients: "pd.DataFrame") -> FollowUp | None:
    """The follow-up of the cohort of a table of patients; None if it is empty.

    In the reverse Kaplan-Meier method a death ends the observation as censored, and being alive at
    the last contact is the event (Schemper and Smith, Control Clin Trials 1996;17:343-6).
    """
    if not len(patients):
        return None
    column = snake(OVERALL_SURVIVAL.key)
    known = patients[column].notna()
    died = patients[detail_column(OVERALL_SURVIVAL, Detail.EVENT)].fillna(False).astype(bool)
    days = midpoints(patients[column].fillna(0), patients[f"{column}_{Detail.HIGH}"])
    return FollowUp(
        patients=len(patients),
        deaths=int(died.sum()),
        median=reverse_median(days, died.tolist()),
        shortest=min(days),
        longest=max(days),
        without_contact=int((~known).sum()),
    )


def reverse_median(days: Sequence[int], died: Sequence[bool]) -> int | None:
    """The median follow-up by the reverse Kaplan-Meier method; None if it is not reached.

    A death on a day comes before the last contacts of that day, as in Kaplan-Meier curves: who died
    could not be followed any longer (R's prodlim does the same).
    """
    alive = [not death for death in died]
    # Two steps a day: first the deaths, then the last contacts.
    steps = [2 * day + last for day, last in zip(days, alive, strict=True)]
    median = kaplan_meier(steps, alive).median
    return None if median is None else median // 2
