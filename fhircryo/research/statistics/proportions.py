"""Proportions with their confidence interval."""

import msgspec

#: The confidence level of all intervals.
LEVEL = 0.95


class Proportion(msgspec.Struct, frozen=True):
    """``successes`` of ``n``; the share and its interval are within 0..1, None if ``n`` is 0."""

    successes: int
    n: int
    share: float | None = None
    lower: float | None = None
    upper: float | None = None


def proportion(successes: int, n: int, level: float = LEVEL) -> Proportion:
    """A proportion with Wilson's score interval, without continuity correction.

    Source: Wilson, J Am Stat Assoc 1927;22:209-12; recommended by Newcombe, Stat Med
    1998;17:857-72.
    """
    if not n:
        return Proportion(successes, n)
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    return Proportion(successes, n, successes / n, float(interval.low), float(interval.high))
