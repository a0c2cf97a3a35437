"""Paired changes, tested by Wilcoxon's signed ranks."""

from collections.abc import Iterable

import msgspec

from fhircryo.research.statistics.distribution import Distribution, distribution


class Paired(msgspec.Struct, frozen=True):
    """Changes of ``n`` pairs, ``changed`` of them not zero.

    ``statistic``: the smaller sum of ranks; ``effect``: the matched-pairs rank-biserial
    correlation, -1 (all fell) to 1 (all rose). These and ``p`` are None where nothing changed.
    """

    n: int
    changed: int
    change: Distribution
    statistic: float | None = None
    p: float | None = None
    effect: float | None = None


def wilcoxon_paired(changes: Iterable[float]) -> Paired:
    """Test whether changes centre on zero; two-sided, zeros left out as Wilcoxon did.

    Exact of few pairs; else by the normal approximation without continuity correction (scipy).

    Effect size: (sum of the ranks that rose - of those that fell) / their total, Kerby, Compr
    Psychol 2014;3:11.IT.3.1.
    """
    values = [float(one) for one in changes]
    others = [one for one in values if one]
    spread = distribution(values)
    if not others:
        return Paired(len(values), 0, spread)
    from scipy.stats import rankdata, wilcoxon

    test = wilcoxon(values)
    ranks = rankdata([abs(one) for one in others])
    signed = sum(rank if one > 0 else -rank for one, rank in zip(others, ranks, strict=True))
    return Paired(
        len(values),
        len(others),
        spread,
        statistic=float(test.statistic),
        p=float(test.pvalue),
        effect=float(signed / sum(ranks)),
    )
