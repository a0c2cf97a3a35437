"""The groups of patients of which an aggregate publishes the sizes, taken from the table."""

from copy import copy
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fhircryo.research.disclosure_topics import linked
from fhircryo.research.statistics.disclosure import Ledger, SecretLedger
from fhircryo.research.statistics.distribution import Distribution
from fhircryo.research.statistics.proportions import Proportion

if TYPE_CHECKING:
    import pandas as pd

    from fhircryo.research.statistics.disclosure import Group

#: A quartile is shown of at least this many times the threshold: each quarter is a group.
QUARTERS = 4


class ShownGroups:
    """The table of patients, with the ledger of what is published of it.

    ``everybody``: the patients whom the groups are of. ``secret``: the reader has the table, and
    may only not know in which of the shared groups a patient is.
    """

    def __init__(
        self,
        patients: "pd.DataFrame",
        threshold: int,
        *,
        secret: bool = False,
    ) -> None:
        import numpy as np

        self.patients = patients
        self.everybody = np.ones(len(patients), dtype=bool)
        self.threshold = threshold
        self.secret = secret
        self._ledger: Ledger | SecretLedger
        if secret:
            self._ledger = SecretLedger(len(patients), threshold)
        else:
            self._ledger = Ledger(len(patients), threshold, linked)
        #: Publishes groups if that is safe.
        self.admit = self._ledger.admit
        self.admit_shared = self._ledger.admit_shared

    def within(self, members: "Group") -> "ShownGroups":
        """The same for some of the patients, with the same ledger."""
        found = copy(self)
        found.everybody = self.everybody & members
        return found

    def known(self, column: str) -> "Group":
        """The patients with a value in a column."""
        return as_group(self.patients[column].notna()) & self.everybody

    def yes(self, column: str) -> "Group":
        """The patients in whom a column is true."""
        return as_group(self.patients[column].eq(True)) & self.everybody

    def proportion(self, topic: str, counted: Proportion | None, column: str) -> Proportion | None:
        """The share of a column's patients with yes; None if it may not be shown."""
        shown = self.admit(topic, self.known(column), self.yes(column))
        return counted if shown else None

    def quartiles(self, values: Distribution | None) -> Distribution | None:
        """Quartiles of enough values; never the extremes, which are individual patients."""
        if values is None or values.n < QUARTERS * self.threshold:
            return None
        return replace(values, minimum=None, maximum=None)


def as_group(series: "pd.Series[bool]") -> "Group":
    """A series of booleans as a group; a missing value is no."""
    return series.fillna(False).to_numpy(dtype=bool)
