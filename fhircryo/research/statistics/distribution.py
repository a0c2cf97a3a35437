"""The distribution of a number: median, quartiles, range."""

from collections.abc import Iterable

import msgspec


class Distribution(msgspec.Struct, frozen=True):
    """The distribution of ``n`` values; the other fields are None if there is no value."""

    n: int
    median: float | None = None
    q1: float | None = None
    q3: float | None = None
    minimum: float | None = None
    maximum: float | None = None


def distribution(values: Iterable[float]) -> Distribution:
    """Median and quartiles, linear between values (R's type 7; Hyndman and Fan 1996)."""
    import numpy as np

    array = np.asarray(list(values), dtype=float)
    if not array.size:
        return Distribution(0)
    q1, median, q3 = (float(quantile) for quantile in np.quantile(array, (0.25, 0.5, 0.75)))
    return Distribution(array.size, median, q1, q3, float(array.min()), float(array.max()))
