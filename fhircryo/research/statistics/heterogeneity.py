"""Proportions of several sites in a random-effects model, and how much they differ.

These sums are by hand: SciPy has none of them, and statsmodels, which has the method, would be a
dependency for this alone. The tests compare them with what R's metafor prints.
"""

from collections.abc import Sequence
from math import log, sqrt

import msgspec

from fhircryo.research.statistics.proportions import LEVEL, Proportion

#: Added to both cells of every site if a site has an empty cell, whose logit would be infinite.
#: Source: Sweeting, Sutton, Lambert, Stat Med 2004;23:1351-75.
_CORRECTION = 0.5
#: Fewer sites cannot be compared.
_LEAST_SITES = 2


class Combined(msgspec.Struct, frozen=True):
    """Effects combined over sites.

    ``tau2``: the variance between sites. ``q``: Cochran's Q, ``df`` its degrees of freedom, ``p``
    its P value. ``i2``: I squared, within 0..1. ``corrected``: a site had an empty cell.
    """

    sites: int
    estimate: float
    lower: float
    upper: float
    tau2: float
    q: float
    df: int
    p: float
    i2: float
    corrected: bool = False


def combine(effects: Sequence[float], variances: Sequence[float]) -> Combined:
    """Effects of two or more sites in a random-effects model, with a normal interval.

    Source: DerSimonian and Laird, Control Clin Trials 1986;7:177-88; I squared: Higgins and
    Thompson, Stat Med 2002;21:1539-58.
    """
    from scipy.stats import chi2, norm

    weights = [1 / variance for variance in variances]
    total = sum(weights)
    fixed = _mean(effects, weights)
    q = sum(weight * (one - fixed) ** 2 for weight, one in zip(weights, effects, strict=True))
    df = len(weights) - 1
    spread = total - sum(weight**2 for weight in weights) / total
    tau2 = max(0.0, (q - df) / spread)
    weights = [1 / (variance + tau2) for variance in variances]
    estimate = _mean(effects, weights)
    half = float(norm.ppf((1 + LEVEL) / 2)) / sqrt(sum(weights))
    i2 = max(0.0, (q - df) / q) if q else 0.0
    p = float(chi2.sf(q, df))
    return Combined(len(effects), estimate, estimate - half, estimate + half, tau2, q, df, p, i2)


def pooled_proportion(counted: Sequence[Proportion]) -> Combined | None:
    """The proportions of sites, combined on the logit scale; the estimate is a proportion again.

    Sites without a patient are left out. None if fewer than two remain, or if all of them have
    nobody or everybody: the estimate would be made of the correction alone.
    """
    from scipy.special import expit

    cells = [(one.successes, one.n - one.successes) for one in counted if one.n]
    if len(cells) < _LEAST_SITES or not all(map(sum, zip(*cells, strict=True))):
        return None
    corrected = any(0 in pair for pair in cells)
    added = _CORRECTION if corrected else 0.0
    pairs = [(yes + added, no + added) for yes, no in cells]
    found = combine([log(yes / no) for yes, no in pairs], [1 / yes + 1 / no for yes, no in pairs])
    estimate, lower, upper = (
        float(expit(one)) for one in (found.estimate, found.lower, found.upper)
    )
    return msgspec.structs.replace(
        found, estimate=estimate, lower=lower, upper=upper, corrected=corrected
    )


def _mean(effects: Sequence[float], weights: Sequence[float]) -> float:
    return sum(one * weight for one, weight in zip(effects, weights, strict=True)) / sum(weights)
