"""How many patients reached a PSA nadir as low as a threshold."""

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.catalogue import PSA_NADIR
from fhircryo.research.statistics.proportions import Proportion, proportion
from fhircryo.research.table import snake

if TYPE_CHECKING:
    import pandas as pd


class NadirShare(msgspec.Struct, frozen=True):
    """The patients with a nadir up to ``threshold`` (ng/mL), of those in whom that is known.

    ``not_known``: the patients without a nadir, or with one that is only known to be below a limit
    above the threshold.
    """

    threshold: Decimal
    counted: Proportion
    not_known: int


def nadir_shares(patients: "pd.DataFrame", thresholds: Iterable[Decimal]) -> tuple[NadirShare, ...]:
    """The shares from the table of patients, one for each threshold."""
    column = snake(PSA_NADIR.key)
    values, comparators = patients[column], patients[f"{column}_comparator"]
    found = []
    for threshold in thresholds:
        reached = values.notna() & (values.astype(float) <= float(threshold))
        # Below a limit above the threshold can be either side of it.
        known = values.notna() & (reached | comparators.isna())
        counted = proportion(int((reached & known).sum()), int(known.sum()))
        found.append(NadirShare(threshold, counted, int((~known).sum())))
    return tuple(found)
