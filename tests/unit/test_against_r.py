"""The statistics against R's packages, whose figures stand in r/r.json (made by r/r.R)."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from fhircryo.research.follow_up import reverse_median
from fhircryo.research.statistics.competing import Ending, aalen_johansen
from fhircryo.research.statistics.groups import cox, log_rank
from fhircryo.research.statistics.heterogeneity import pooled_proportion
from fhircryo.research.statistics.kaplan_meier import kaplan_meier
from fhircryo.research.statistics.proportions import proportion

HERE = Path(__file__).parent / "r"
R = json.loads((HERE / "r.json").read_text())
with (HERE / "times.csv").open(newline="") as lines:
    ROWS = list(csv.DictReader(lines))
DAYS = [int(row["days"]) for row in ROWS]
EVENTS = [row["status"] == "1" for row in ROWS]
GROUPS = [row["group"] for row in ROWS]
COVARIATES = pd.DataFrame(
    {
        "x": [float(row["x"]) for row in ROWS],
        "b": [float(group == "b") for group in GROUPS],
    }
)


def test_the_versions_are_named():
    """And the rows are hard ones: ties, events on day 0, deaths."""
    assert R["versions"] == {
        "R": "4.2.2",
        "survival": "3.5.3",
        "cmprsk": "2.2.11",
        "prodlim": "2019.11.13",
        "metafor": "3.8.1",
    }
    assert DAYS.count(0) == 3
    assert len(set(DAYS)) < len(DAYS) - 20
    assert sum(row["status"] == "2" for row in ROWS) == 11


def test_kaplan_meier_is_that_of_survival():
    theirs = R["kaplan_meier"]
    ours = kaplan_meier(DAYS, EVENTS)
    assert list(ours.days) == theirs["days"]
    assert list(ours.at_risk) == theirs["at_risk"]
    for mine, name in ((ours.survival, "survival"), (ours.lower, "lower"), (ours.upper, "upper")):
        assert list(mine) == pytest.approx(theirs[name], abs=1e-9)


def test_the_log_rank_test_is_that_of_survival():
    assert log_rank(DAYS, EVENTS, GROUPS) == pytest.approx(R["log_rank"], rel=1e-6)


def test_cox_is_that_of_survival():
    ours = cox(DAYS, EVENTS, COVARIATES)
    theirs = R["cox"]
    for name in ("ratio", "lower", "upper", "p"):
        mine = [getattr(ratio, name) for ratio in ours.ratios]
        assert mine == pytest.approx(theirs[name], rel=1e-4), name


def test_the_test_of_proportional_hazards_is_that_of_1994():
    """Since its version 3, survival makes a score test instead."""
    untied = [1000 * day + number for number, day in enumerate(DAYS, 1)]
    ours = cox(untied, EVENTS, COVARIATES)
    mine = [ratio.proportional for ratio in ours.ratios]
    assert mine == pytest.approx(R["cox"]["proportional_untied"], rel=1e-4)


def test_the_cumulative_incidence_is_that_of_cmprsk():
    theirs = R["incidence"]
    endings = [Ending(int(row["status"])) for row in ROWS]
    event = aalen_johansen(DAYS, endings)
    turned = {Ending.EVENT: Ending.COMPETING, Ending.COMPETING: Ending.EVENT}
    death = aalen_johansen(DAYS, [turned.get(one, one) for one in endings])
    for mine, name in ((event, "event"), (death, "death")):
        shares = [mine.at(day).share for day in theirs["days"]]
        assert shares == pytest.approx(theirs[name], abs=1e-9)


def test_the_median_follow_up_is_that_of_prodlim():
    assert reverse_median(DAYS, EVENTS) == R["follow_up_median"]


def test_the_random_effects_model_is_that_of_metafor():
    sites = ((36, 57), (5, 20), (17, 31), (40, 44))
    ours = pooled_proportion([proportion(*pair) for pair in sites])
    theirs = R["random_effects"]
    for name, expected in theirs.items():
        assert getattr(ours, name) == pytest.approx(expected, rel=1e-6), name
