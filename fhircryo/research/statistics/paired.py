"""Paired changes, tested with Wilcoxon's signed-rank test."""

from collections.abc import Iterable

import msgspec

from fhircryo.research.statistics.distribution import Distribution, distribution


class Paired(msgspec.Struct, frozen=True):
    """The changes of ``n`` pairs, of which ``changed`` are not zero.

    ``statistic``: the smaller sum of ranks; ``effect``: the matched-pairs rank-biserial
    correlation, from -1 (all fell) to 1 (all rose). Both and ``p`` are None if nothing changed.
    """

    n: int
    changed: int
    change: Distribution
    statistic: float | None = None
    p: float | None = None
    effect: float | None = None


def wilcoxon_paired(changes: Iterable[float]) -> Paired:
    """Test whether the changes are centred on zero; two-sided, without the zeros.

    Exact for few pairs, otherwise the normal approximation without continuity correction (scipy).

    Effect size: (sum of the ranks that rose - of those that fell) / their total, Kerby, Compr
    Psychol 2014;3:11.IT.3.1.
    """
    values = [float(change) for change in changes]
    nonzero = [change for change in values if change]
    spread = distribution(values)
    if not nonzero:
        return Paired(len(values), 0, spread)
    from scipy.stats import rankdata, wilcoxon

    test = wilcoxon(values)
    ranks = rankdata([abs(change) for change in nonzero])
    signed = sum(rank if change > 0 else -rank for change, rank in zip(nonzero, ranks, strict=True))
    return Paired(
        len(values),
        len(nonzero),
        spread,
        statistic=float(test.statistic),
        p=float(test.pvalue),
        effect=float(signed / sum(ranks)),
    )
