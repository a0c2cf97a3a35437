"""The statistics against what R and textbooks print."""

from decimal import Decimal
from itertools import compress, product

import pytest
from scipy.stats import rankdata

from fhircryo.research.statistics.distribution import Distribution, distribution
from fhircryo.research.statistics.kaplan_meier import kaplan_meier
from fhircryo.research.statistics.paired import wilcoxon_paired
from fhircryo.research.statistics.proportions import proportion
from fhircryo.research.statistics.responders import responders

#: Newcombe, Stat Med 1998;17:857-72, table I, method 3 (score without continuity correction).
NEWCOMBE = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0000, 0.1611),
    (1, 29, 0.0061, 0.1718),
]


@pytest.mark.parametrize(("successes", "n", "lower", "upper"), NEWCOMBE)
def test_wilson(successes, n, lower, upper):
    found = proportion(successes, n)
    assert found.share == successes / n
    assert (round(found.lower, 4), round(found.upper, 4)) == (lower, upper)


def test_a_proportion_of_nobody():
    found = proportion(0, 0)
    assert (found.n, found.share, found.lower, found.upper) == (0, None, None, None)


#: Freireich et al., Blood 1963;21:699-716: weeks in remission under 6-mercaptopurine; as in Klein
#: and Moeschberger, Survival Analysis, table 4.1A.
MERCAPTOPURINE = (
    [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35],
    [True] * 9 + [False] * 12,
)
#: R 4.2.2, survival 3.5-3: summary(survfit(Surv(t, e) ~ 1, conf.type = "log-log")).
IN_R = [
    (6, 21, 0.857143, 0.619718, 0.951552),
    (7, 17, 0.806723, 0.563147, 0.922809),
    (10, 15, 0.752941, 0.503200, 0.889362),
    (13, 12, 0.690196, 0.431610, 0.849066),
    (16, 11, 0.627451, 0.367511, 0.804912),
    (22, 7, 0.537815, 0.267779, 0.746791),
    (23, 6, 0.448179, 0.188052, 0.680143),
]
#: The same of the maintained group of survival::aml (Miller 1997), to three digits.
AML = ([9, 13, 13, 18, 23, 28, 31, 34, 45, 48, 161], [1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0])
AML_IN_R = [
    (9, 11, 0.909, 0.5081, 0.987),
    (13, 10, 0.818, 0.4474, 0.951),
    (18, 8, 0.716, 0.3502, 0.899),
    (23, 7, 0.614, 0.2658, 0.835),
    (31, 5, 0.491, 0.1673, 0.753),
    (34, 4, 0.368, 0.0928, 0.657),
    (48, 2, 0.184, 0.0117, 0.525),
]


@pytest.mark.parametrize(
    ("data", "expected", "within"),
    [(MERCAPTOPURINE, IN_R, 1e-6), (AML, AML_IN_R, 6e-4)],
    ids=["6-MP", "aml"],
)
def test_kaplan_meier_as_in_r(data, expected, within):
    curve = kaplan_meier(*data)
    for day, at_risk, survival, lower, upper in expected:
        found = curve.at(day)
        assert found.at_risk == at_risk
        assert found.survival == pytest.approx(survival, abs=within)
        assert found.lower == pytest.approx(lower, abs=within)
        assert found.upper == pytest.approx(upper, abs=within)


def test_kaplan_meier_between_its_steps():
    curve = kaplan_meier(*MERCAPTOPURINE)
    assert (curve.n, curve.n_events, curve.median) == (21, 9, 23)
    start, between, last, after = (curve.at(day) for day in (0, 9, 35, 36))
    assert (start.survival, start.at_risk, start.events, start.lower) == (1.0, 21, 0, None)
    assert (between.at_risk, between.events) == (16, 4)
    assert between.survival == curve.at(7).survival
    assert (last.at_risk, last.events) == (1, 9)
    assert last.survival == curve.at(23).survival
    # Nobody is followed any longer: the curve says nothing there.
    assert (after.survival, after.at_risk, after.events) == (None, 0, 9)


def test_kaplan_meier_at_its_ends():
    nobody = kaplan_meier([], [])
    assert (nobody.n, nobody.days, nobody.median) == (0, (), None)
    assert nobody.at(10).survival is None
    at_once = kaplan_meier([0, 5], [True, False])
    assert (at_once.at(0).survival, at_once.at(0).events) == (0.5, 1)
    all_of_them = kaplan_meier([3, 3], [True, True])
    assert (all_of_them.at(3).survival, all_of_them.at(400).survival) == (0.0, 0.0)
    assert all_of_them.lower == (None, None)


def test_wilcoxon_as_in_r():
    """Hollander and Wolfe 1973, Hamilton depression scale, as in R's ?wilcox.test: V = 5."""
    before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    found = wilcoxon_paired(two - one for one, two in zip(before, after, strict=True))
    assert found.statistic == 5
    assert found.p == pytest.approx(0.0390625)
    assert found.effect == pytest.approx((5 - 40) / 45)


TIED = [3, -1, 0, 2, 2, -4, 5, 1, 0, 6, -2, 3]


def test_wilcoxon_of_few_with_ties_and_zeros_is_exact():
    """All signs of the ranks counted, as Wilcoxon's test is defined."""
    found = wilcoxon_paired(TIED)
    assert (found.n, found.changed) == (12, 10)
    assert found.change.median == 1.5
    # R 4.2.2: sum(sign(z) * rank(abs(z))) / sum(rank(abs(z))) of those not zero.
    assert found.effect == pytest.approx(0.5090909)
    ranks = rankdata([abs(one) for one in TIED if one])
    rose = sum(
        rank for rank, one in zip(ranks, [one for one in TIED if one], strict=True) if one > 0
    )
    far = abs(rose - ranks.sum() / 2)
    sums = [sum(compress(ranks, signs)) for signs in product((0, 1), repeat=len(ranks))]
    as_far = sum(1 for one in sums if abs(one - ranks.sum() / 2) >= far - 1e-9)
    assert found.p == pytest.approx(as_far / len(sums))


def test_wilcoxon_of_many_with_ties_and_zeros_as_in_r():
    """R 4.2.2: wilcox.test(z, correct = FALSE, exact = FALSE)."""
    found = wilcoxon_paired([*TIED, *TIED, -1, 7])
    assert found.p == pytest.approx(0.0277137644, abs=1e-8)


@pytest.mark.parametrize("changes", [[], [0, 0, 0]])
def test_wilcoxon_where_nothing_changed(changes):
    found = wilcoxon_paired(changes)
    assert (found.n, found.changed, found.p, found.effect) == (len(changes), 0, None, None)


def test_quartiles_as_in_r():
    """R 4.2.2: quantile(x), type 7."""
    found = distribution([100, 1, 2, 4, 8, 16, 32, 64])
    assert found == Distribution(8, median=12, q1=3.5, q3=40, minimum=1, maximum=100)
    assert distribution([]) == Distribution(0)


@pytest.mark.parametrize(("worse", "better", "worsened"), [("higher", 2, 1), ("lower", 1, 2)])
def test_responders_by_direction(worse, better, worsened):
    # A mean of two items of seven: 100/12 and its multiples, as floats.
    changes = [-10, -25 / 3 - 5 / 3, 9.999, 10.0, 0, 25 / 3]
    found = responders(changes, Decimal(10), worse)
    assert (found.better.successes, found.worse.successes) == (better, worsened)
    assert found.better.n == found.worse.n == 6


def test_a_shipped_difference_has_its_source():
    from fhircryo.mapping.load import load_mappings

    shipped = {
        one.key: one.minimal_important_difference
        for one in load_mappings().instruments
        if one.minimal_important_difference is not None
    }
    # Skolarus et al. 2015: upper ends of 6-9, 5-7, 4-6, 10-12, 4-6; Osoba et al. 1998: of 5-10.
    assert {key: int(one.points) for key, one in shipped.items()} == {
        "epic-26-incontinence": 9,
        "epic-26-irritative": 7,
        "epic-26-bowel": 6,
        "epic-26-sexual": 12,
        "epic-26-hormonal": 6,
        "qlq-c30-ql2": 10,
    }
    assert all(one.source for one in shipped.values())
