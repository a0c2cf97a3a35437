"""The baseline characteristics of a cohort, as the first table of a paper shows them."""

from typing import TYPE_CHECKING, Any

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
#: The characteristics that are yes or no.
_NOT_RISING = ("psa_not_rising", "PSA not rising")
_HORMONE_THERAPY = ("hormone_therapy_at_index", "Hormone therapy at index")
#: The words of each characteristic, by the column.
NAMES = dict((*_NUMBERS, *_CATEGORIES, _NOT_RISING, _HORMONE_THERAPY))
#: The words of the level of those.
YES = "yes"


class Level(msgspec.Struct, frozen=True):
    """The patients with a value of a characteristic, of those in whom it is recorded."""

    words: str
    counted: Proportion | None


class BaselineRow(msgspec.Struct, frozen=True):
    """A characteristic: in how many patients it is recorded, and what it is.

    ``key``: for ``characteristic``. ``known`` and ``missing``: numbers of patients, None if too few
    to be shown. ``values``: of a number; None for a category, or if it may not be shown.
    ``levels``: of a category.
    """

    key: str
    words: str
    known: int | None
    missing: int | None
    values: Distribution | None = None
    levels: tuple[Level, ...] = ()


def baseline_summary(patients: "pd.DataFrame") -> tuple[BaselineRow, ...]:
    """The characteristics of a cohort from the table of patients."""
    rows = []
    for key, words in _NUMBERS:
        values = patients[key].dropna()
        known = len(values)
        rows.append(BaselineRow(key, words, known, len(patients) - known, distribution(values)))
        if key == "psa_doubling_time":
            rows.append(_category(patients, *_NOT_RISING))
    rows += [_category(patients, key, words) for key, words in _CATEGORIES]
    rows.append(_category(patients, *_HORMONE_THERAPY))
    return tuple(rows)


def characteristic(patients: "pd.DataFrame", key: str) -> "pd.Series[Any]":
    """A characteristic of each patient: a number, or the words of its level; else missing.

    PSA not rising is known in those with enough results.
    """
    if key == _HORMONE_THERAPY[0]:
        return _words(patients[key])
    if key == _NOT_RISING[0]:
        enough = patients["psa_doubling_time_missing"].astype(object) != str(Missing.NOT_RECORDED)
        return _words(patients["psa_doubling_time"].isna().where(enough))
    return patients[key]


def _words(series: "pd.Series[bool]") -> "pd.Series[Any]":
    return series.astype(object).map({True: YES, False: "no"})


def _category(patients: "pd.DataFrame", key: str, words: str) -> BaselineRow:
    """A category with its levels; of yes and no, only the level of yes."""
    values = characteristic(patients, key).dropna().astype(str)
    known = len(values)
    counts = values.value_counts()
    binary = key in (_NOT_RISING[0], _HORMONE_THERAPY[0])
    names = [YES] if binary else sorted(counts.index)
    levels = tuple(Level(str(name), proportion(int(counts.get(name, 0)), known)) for name in names)
    return BaselineRow(key, words, known, len(patients) - known, levels=levels)
