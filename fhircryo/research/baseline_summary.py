"""The baseline characteristics of a cohort, as the first table of a paper shows them."""

from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.baseline import Missing
from fhircryo.research.baseline_columns import CODED
from fhircryo.research.statistics.distribution import Distribution, distribution
from fhircryo.research.statistics.proportions import Proportion, proportion

if TYPE_CHECKING:
    import pandas as pd

#: The characteristics that are numbers: their column and their words.
_NUMBERS = (
    ("age_years", "Age, years"),
    ("baseline_psa", "PSA, ng/mL"),
    ("psa_doubling_time", "PSA doubling time, months"),
    ("radiotherapy_interval", "Radiotherapy to index, years"),
    ("prostate_volume", "Prostate volume, mL"),
)
_CATEGORIES = (
    ("prior_radiotherapy", "Prior radiotherapy"),
    *zip(CODED, ("ISUP grade group", "Gleason score", "Clinical T category"), strict=True),
)
_PSA_NOT_RISING = "PSA not rising"
_HORMONE_THERAPY = "Hormone therapy at index"


class Level(msgspec.Struct, frozen=True):
    """The patients with a value of a characteristic, of those in whom it is recorded."""

    words: str
    counted: Proportion | None


class BaselineRow(msgspec.Struct, frozen=True):
    """A characteristic: in how many patients it is recorded, and what it is.

    ``known`` and ``missing``: numbers of patients, None if too few to be shown. ``values``: of a
    number; None for a category, or if it may not be shown. ``levels``: of a category.
    """

    words: str
    known: int | None
    missing: int | None
    values: Distribution | None = None
    levels: tuple[Level, ...] = ()


def baseline_summary(patients: "pd.DataFrame") -> tuple[BaselineRow, ...]:
    """The characteristics of a cohort from the table of patients."""
    rows = []
    for column, words in _NUMBERS:
        values = patients[column].dropna()
        known = len(values)
        rows.append(BaselineRow(words, known, len(patients) - known, distribution(values)))
        if column == "psa_doubling_time":
            rows.append(_not_rising(patients))
    rows += [_category(patients, column, words) for column, words in _CATEGORIES]
    rows.append(_yes(patients["hormone_therapy_at_index"], _HORMONE_THERAPY))
    return tuple(rows)


def _not_rising(patients: "pd.DataFrame") -> BaselineRow:
    """The patients whose PSA did not rise, of those with enough results."""
    enough = patients["psa_doubling_time_missing"].astype(object) != str(Missing.NOT_RECORDED)
    falling = patients["psa_doubling_time"].isna().where(enough)
    return _yes(falling, _PSA_NOT_RISING)


def _yes(column: "pd.Series[bool]", words: str) -> BaselineRow:
    known = column.dropna().astype(bool)
    counted = Level("yes", proportion(int(known.sum()), len(known)))
    return BaselineRow(words, len(known), len(column) - len(known), levels=(counted,))


def _category(patients: "pd.DataFrame", column: str, words: str) -> BaselineRow:
    values = patients[column].dropna().astype(str)
    known = len(values)
    counts = values.value_counts()
    levels = tuple(
        Level(str(level), proportion(int(counts[level]), known)) for level in sorted(counts.index)
    )
    return BaselineRow(words, known, len(patients) - known, levels=levels)
