"""Small cells: what may be shown of counts where nobody may be told apart.

A count from 1 to below the threshold is small. It is not shown, nor is anything shown from which it
could be had as a difference.
"""

from collections.abc import Mapping, Sequence

#: What small parts are called together.
POOLED = "other reasons"

#: Counts below this are small.
THRESHOLD = 5


def is_small(count: int, threshold: int = THRESHOLD) -> bool:
    """Whether a count tells of too few people."""
    return 0 < count < threshold


def pool_small(counts: Mapping[str, int], threshold: int = THRESHOLD) -> dict[str, int]:
    """Counts of the parts of a whole, the small ones together as ``POOLED`` without their names.

    Where these are too few together, the smallest other is pooled with them. Everything together
    too few: nothing. So what is shown, and any sum or difference of it, is 0 or no small count.
    """
    pooled = {name for name, count in counts.items() if is_small(count, threshold)}
    if not pooled:
        return dict(counts)
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


def hides_table(cells: Sequence[Sequence[int]], threshold: int = THRESHOLD) -> bool:
    """Whether a cross table with known margins must be hidden as a whole: any cell is small."""
    return any(is_small(count, threshold) for row in cells for count in row)
