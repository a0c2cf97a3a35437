"""Responders: patients whose score changed by at least the minimal important difference."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec

from fhircryo.research.statistics.proportions import Proportion, proportion

# Scores are exact fractions stored as floats: a smaller difference is a rounding error.
_SAME = 1e-9


class Responders(msgspec.Struct, frozen=True):
    """The patients who became better and worse, of those with two scores."""

    better: Proportion
    worse: Proportion


def responders(
    changes: Iterable[float], difference: Decimal, worse: Literal["higher", "lower"]
) -> Responders:
    """Count changes of at least the minimal important difference, by direction."""
    values = [float(change) for change in changes]
    least = least_change(difference)
    rose = sum(1 for change in values if change >= least)
    fell = sum(1 for change in values if change <= -least)
    better, worsened = (fell, rose) if worse == "higher" else (rose, fell)
    return Responders(proportion(better, len(values)), proportion(worsened, len(values)))


def least_change(difference: Decimal) -> float:
    """The least change, as a float, that counts as the minimal important difference."""
    return float(difference) - _SAME
