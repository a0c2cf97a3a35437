"""Small counts, and how the parts of a whole are pooled so that none of them is small.

A count is small if it is at least 1 and below the threshold.
"""

from collections.abc import Mapping

#: The name of the pooled small parts.
POOLED = "other"

#: Counts below this are small.
THRESHOLD = 5


def is_small(count: int, threshold: int = THRESHOLD) -> bool:
    """Whether a count is small."""
    return 0 < count < threshold


def pool_small(counts: Mapping[str, int], threshold: int = THRESHOLD) -> dict[str, int]:
    """The counts of the parts of a whole, with the small ones added up as ``POOLED``.

    While their sum is small, the smallest other part is pooled with them. If the sum of all parts
    is small, the result is empty. No count of the result, nor a sum or difference of its counts,
    is small.
    """
    pooled = {name for name, count in counts.items() if is_small(count, threshold)}
    if not pooled:
        return dict(counts)
    # A part that has the name of the pool belongs to it.
    pooled |= counts.keys() & {POOLED}
    others = sorted((name for name in counts if name not in pooled), key=lambda name: counts[name])
    total = sum(counts[name] for name in pooled)
    while others and total < threshold:
        name = others.pop(0)
        pooled.add(name)
        total += counts[name]
    if total < threshold:
        return {}
    shown = {name: count for name, count in counts.items() if name not in pooled}
    return {**shown, POOLED: total}
