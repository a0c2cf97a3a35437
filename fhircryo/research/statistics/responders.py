"""Responders: whose score changed by the minimal important difference or more."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec

from fhircryo.research.statistics.proportions import Proportion, proportion

# Scores are exact fractions that were written as floats: what is less apart is the same.
_SAME = 1e-9


class Responders(msgspec.Struct, frozen=True):
    """Who got better and who worse, of those with a change."""

    better: Proportion
    worse: Proportion


def responders(
    changes: Iterable[float], difference: Decimal, worse: Literal["higher", "lower"]
) -> Responders:
    """Count changes of at least the minimal important difference, by direction."""
    values = [float(one) for one in changes]
    least = float(difference) - _SAME
    rose = sum(1 for one in values if one >= least)
    fell = sum(1 for one in values if one <= -least)
    better, worsened = (fell, rose) if worse == "higher" else (rose, fell)
    return Responders(proportion(better, len(values)), proportion(worsened, len(values)))
