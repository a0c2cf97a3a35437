"""Small cells: what may be shown of counts where nobody may be told apart.

A count from 1 to below the threshold is hidden. Where a total gives a hidden count away, others are
hidden with it, until what is shown leaves more than one possibility for each hidden small count.
"""

from collections.abc import Mapping, Sequence

#: Counts below this are small.
THRESHOLD = 5


def is_small(count: int, threshold: int = THRESHOLD) -> bool:
    """Whether a count tells of too few people."""
    return 0 < count < threshold


def suppress_partition(
    counts: Mapping[str, int], threshold: int = THRESHOLD
) -> dict[str, int | None]:
    """Counts that add up to a known total; None for those that are hidden.

    With small counts the smallest others are hidden as well, until the hidden ones add up to so
    much that each small one could be any other small count.
    """
    hidden = {name for name, count in counts.items() if is_small(count, threshold)}
    if not hidden:
        return dict(counts)
    others = sorted((name for name in counts if name not in hidden), key=lambda name: counts[name])
    while others and not _is_ambiguous([counts[name] for name in hidden], threshold):
        hidden.add(others.pop(0))
    if not _is_ambiguous([counts[name] for name in hidden], threshold):
        return dict.fromkeys(counts)
    return {name: None if name in hidden else count for name, count in counts.items()}


def _is_ambiguous(hidden: Sequence[int], threshold: int) -> bool:
    """Whether hidden counts leave every value from 0 to below the threshold to each small one.

    Whoever reads it knows their sum. One of them alone is the sum. Of several each can take any
    small value if the others can take up the rest: at least one of them is not small, so that it
    has no upper limit, and there is enough for all.
    """
    if len(hidden) < 2:
        return False
    large = [count for count in hidden if not is_small(count, threshold)]
    return bool(large) and max(large) >= 2 * threshold


def hides_proportion(successes: int, n: int, threshold: int = THRESHOLD) -> bool:
    """Whether yes, no or both of a proportion are too few to be shown."""
    return (
        is_small(successes, threshold)
        or is_small(n - successes, threshold)
        or is_small(n, threshold)
    )


def hides_table(cells: Sequence[Sequence[int]], threshold: int = THRESHOLD) -> bool:
    """Whether a cross table with known margins must be hidden as a whole: any cell is small."""
    return any(is_small(count, threshold) for row in cells for count in row)
