"""Small cells stay hidden, whatever a reader computes from what is shown."""

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fhircryo.research.statistics.disclosure import Ledger
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


# --------------------------------------------------------------------------- the ledger


PATIENTS = 24
#: a and b are related, and so are b and c; d is related to both of them only within "shared".
LINKS = [{"a", "b"}, {"b", "c"}, {"shared", "a"}, {"shared", "d"}]


def linked(one: str, other: str) -> bool:
    return one == other or any({one, other} <= link for link in LINKS)


groups = st.lists(st.booleans(), min_size=PATIENTS, max_size=PATIENTS).map(np.array) | st.builds(
    lambda start, size: (np.arange(PATIENTS) >= start) & (np.arange(PATIENTS) < start + size),
    st.integers(0, PATIENTS),
    st.integers(0, PATIENTS),
)
proposals = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d", "shared"]), groups), max_size=8)


def atoms(published: list) -> list[int]:
    """The numbers of patients who are in the same groups."""
    if not published:
        return [PATIENTS]
    return list(np.unique(np.stack(published), axis=1, return_counts=True)[1])


def admitted(ledger: Ledger, proposals: list) -> list[tuple[str, "np.ndarray"]]:
    everybody = np.ones(PATIENTS, dtype=bool)
    found = []
    for topic, group in proposals:
        if topic == "shared":
            shown = ledger.admit_shared(topic, group)
        else:
            shown = ledger.admit(topic, everybody, group)
        if shown:
            found.append((topic, group))
    return found


@given(proposals, thresholds)
def test_related_groups_have_no_small_atom(proposals, threshold):
    """Whatever is combined of groups that are related to each other, few patients never remain."""
    found = admitted(Ledger(PATIENTS, threshold, linked), proposals)
    by_topic = {
        name: [group for topic, group in found if topic == name and group.any()] for name in "abcd"
    }
    shared = [group for topic, group in found if topic == "shared"]
    for one, other in pairwise("abc"):
        if by_topic[one] and by_topic[other]:
            assert min(atoms([*by_topic[one], *by_topic[other]])) >= threshold
    for topic in "ad":
        assert not by_topic[topic] or min(atoms([*by_topic[topic], *shared])) >= threshold
    for (_, one), (_, other) in combinations(found, 2):
        for first, second in ((one, other), (one, ~other), (~one, other), (~one, ~other)):
            if not (first & ~second).any():
                assert not is_small(int((second & ~first).sum()), threshold)


@given(proposals, thresholds)
def test_what_is_left_of_a_group_is_no_few_patients_from_another(proposals, threshold):
    """Of whatever topics they are: a reader subtracts, and guesses what lies within what."""
    found = [group for _, group in admitted(Ledger(PATIENTS, threshold, linked), proposals)]
    rests = [one & ~other for one in found for other in found if not (other & ~one).any()]
    for rest in rests:
        for group in found:
            for first, second in ((rest, group), (rest, ~group), (~rest, group), (~rest, ~group)):
                if not (first & ~second).any():
                    assert not is_small(int((second & ~first).sum()), threshold)


def test_a_rest_of_two_groups_is_compared_with_others():
    """Of topics that are free of each other: 10 less 4 of one, and 8 of another hold the same 6."""
    places = np.arange(PATIENTS)
    ten, four, eight = (places < 10), (places >= 6) & (places < 10), (places < 6) | (places > 21)
    everybody = np.ones(PATIENTS, dtype=bool)
    ledger = Ledger(PATIENTS, 3, linked)
    assert all(ledger.admit("a", everybody, group) for group in (ten, four))
    assert not ledger.admit("d", everybody, eight)
    assert Ledger(PATIENTS, 3, linked).admit("d", everybody, eight)


@given(proposals, thresholds)
def test_what_was_shown_once_is_shown_again(proposals, threshold):
    """And what was refused stays refused: a number is the same at each place of the report."""
    ledger = Ledger(PATIENTS, threshold, linked)
    first = admitted(ledger, proposals)
    again = admitted(ledger, proposals)
    assert [topic for topic, _ in first] == [topic for topic, _ in again]


def test_a_small_cohort_has_no_group_at_all():
    ledger = Ledger(4, 5, linked)
    assert not ledger.admit("a", np.ones(4, dtype=bool))
    assert not ledger.admit_shared("shared", np.zeros(4, dtype=bool))
    assert Ledger(0, 5, linked).admit("a", np.ones(0, dtype=bool))
