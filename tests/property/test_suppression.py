"""Small cells stay hidden, whatever a reader computes from what is shown."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from fhircryo.research.statistics.suppress import (
    hides_proportion,
    hides_table,
    is_small,
    suppress_partition,
)

THRESHOLD = 3
COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=4)


def possible(shown: list[int | None], total: int) -> list[tuple[int, ...]]:
    """Every list of counts with this total that would be shown like this."""
    places = [place for place, count in enumerate(shown) if count is None]
    left = total - sum(count for count in shown if count is not None)
    found = []
    for counts in product(range(left + 1), repeat=len(places)):
        if sum(counts) != left:
            continue
        whole = list(shown)
        for place, count in zip(places, counts, strict=True):
            whole[place] = count
        names = {str(place): count for place, count in enumerate(whole)}
        if list(suppress_partition(names, THRESHOLD).values()) == shown:
            found.append(tuple(whole))
    return found


@given(COUNTS)
def test_no_small_count_can_be_told(counts):
    """Not even by a reader who knows the total and the rule."""
    names = {str(place): count for place, count in enumerate(counts)}
    shown = list(suppress_partition(names, THRESHOLD).values())
    if sum(counts) < 2 * THRESHOLD:
        return  # so few people are not shown at all, see the flow
    could_be = possible(shown, sum(counts))
    assert tuple(counts) in could_be
    for place, count in enumerate(counts):
        if is_small(count, THRESHOLD) and len(counts) > 1:
            assert shown[place] is None
            assert len({one[place] for one in could_be}) > 1


@given(COUNTS)
def test_what_is_shown_is_true_and_nothing_is_hidden_without_need(counts):
    names = {str(place): count for place, count in enumerate(counts)}
    shown = suppress_partition(names, THRESHOLD)
    assert all(count in (None, names[name]) for name, count in shown.items())
    if not any(is_small(count, THRESHOLD) for count in counts):
        assert shown == names


def test_proportions_and_tables():
    assert hides_proportion(2, 62)
    assert hides_proportion(60, 62)
    assert hides_proportion(0, 4)
    assert not hides_proportion(0, 62)
    assert not hides_proportion(5, 62)
    assert hides_table([[10, 0], [4, 20]])
    assert not hides_table([[10, 0], [5, 20]])
