"""Small cells stay hidden, whatever a reader computes from what is shown."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from fhircryo.research.statistics.suppress import (
    POOLED,
    is_small,
    pool_small,
)

counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 12), max_size=6)
thresholds = st.integers(2, 6)


@given(counts, thresholds)
def test_no_sum_or_difference_of_what_is_shown_is_small(parts, threshold):
    shown = pool_small(parts, threshold)
    total = sum(parts.values())
    known = [*shown.values(), *([total] if not is_small(total, threshold) else [])]
    for number in range(len(shown) + 1):
        for some in combinations(shown.values(), number):
            assert not is_small(sum(some), threshold)
            if len(known) > len(shown):
                assert not is_small(total - sum(some), threshold)


@given(counts, thresholds)
def test_nothing_is_lost_but_names(parts, threshold):
    shown = pool_small(parts, threshold)
    total = sum(parts.values())
    assert sum(shown.values()) == total or (shown == {} and is_small(total, threshold))
    for name, count in shown.items():
        assert name == POOLED or parts[name] == count
    if not any(is_small(count, threshold) for count in parts.values()):
        assert shown == parts
