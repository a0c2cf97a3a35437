"""The groups of patients of which an aggregate publishes the sizes, taken from the table."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from fhircryo.research.disclosure_topics import linked
from fhircryo.research.statistics.disclosure import Ledger
from fhircryo.research.statistics.distribution import Distribution
from fhircryo.research.statistics.proportions import Proportion

if TYPE_CHECKING:
    import pandas as pd

    from fhircryo.research.statistics.disclosure import Group

#: A quartile is shown of at least this many times the threshold: each quarter is a group.
_QUARTERS = 4


class ShownGroups:
    """The table of patients, with the ledger of what is published of it."""

    def __init__(self, patients: "pd.DataFrame", threshold: int) -> None:
        import numpy as np

        self.patients = patients
        self.everybody = np.ones(len(patients), dtype=bool)
        self.threshold = threshold
        self._ledger = Ledger(len(patients), threshold, linked)
        #: Publishes groups if that is safe.
        self.admit = self._ledger.admit
        self.admit_shared = self._ledger.admit_shared

    def known(self, column: str) -> "Group":
        """The patients with a value in a column."""
        return as_group(self.patients[column].notna())

    def yes(self, column: str) -> "Group":
        """The patients in whom a column is true."""
        return as_group(self.patients[column].eq(True))

    def proportion(self, topic: str, counted: Proportion | None, column: str) -> Proportion | None:
        """The share of a column's patients with yes; None if it may not be shown."""
        shown = self.admit(topic, self.known(column), self.yes(column))
        return counted if shown else None

    def quartiles(self, values: Distribution | None) -> Distribution | None:
        """Quartiles of enough values; never the extremes, which are individual patients."""
        if values is None or values.n < _QUARTERS * self.threshold:
            return None
        return replace(values, minimum=None, maximum=None)


def as_group(series: "pd.Series[bool]") -> "Group":
    """A series of booleans as a group; a missing value is no."""
    return series.fillna(False).to_numpy(dtype=bool)
