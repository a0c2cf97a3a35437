"""The numbers of the tutorial's sections are those of the cohort that it pulls."""

import re
from datetime import date
from pathlib import Path

import pytest

import fhircryo
from fhircryo.endpoints.catalogue import TIME_TO_FAILURE
from fhircryo.research.cohort_tables import Cohort
from fhircryo.research.methods import methods
from fhircryo.research.report import number_format as words
from fhircryo.research.report.page import figures_of
from fhircryo.research.statistics.kaplan_meier import Estimate
from fhircryo.research.statistics.proportions import Proportion
from fhircryo.research.table_options import ALL_DATES
from fhircryo.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial" / "methods-and-results.md").read_text(encoding="utf-8")
#: Without the marks of quotations and the ends of lines.
TEXT = " ".join(re.sub(r"^>", "", PAGE, flags=re.MULTILINE).split())


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    source = ROOT / "examples" / "bomers-2020"
    return fhircryo.cohort(source, as_of=date(2017, 12, 31), settings=Settings())


def test_methods_are_those_of_the_cohort(cohort):
    text = methods(cohort.config, cohort.flow, ALL_DATES, "pseudonymised")
    first = text.split("\n\n")[1]
    assert " ".join(first.split()) in TEXT


def test_table_1_is_that_of_the_report(cohort):
    rows = {row.words: row for row in cohort.analysis.baseline}
    shown = re.findall(r"^\| ([A-Z].*?) \| (.*?) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert len(shown) == 8
    for name, value, missing in shown:
        assert (value, missing) == (words.baseline(rows[name]), str(rows[name].missing)), name


def test_results_are_those_of_the_report(cohort):
    found = cohort.analysis
    assert found.follow_up is not None
    rate = next(rate for rate in found.disease_free if rate.in_protocol)
    time = next(one for one in found.survival if one.endpoint is TIME_TO_FAILURE)
    at_12, at_24 = (next(at for at in time.landmarks if at.day == day) for day in (365, 730))
    confirmed = next(one.counted for one in found.failures if one.key == "confirmed")
    technical = next(row.counted for row in found.table if row.words == "Technical success")
    clavien = found.complications.shares[0].counted
    for sentence in (
        f"Of {found.flow.candidates} patients with a cryoablation of the prostate,"
        f" {found.flow.cohort} are in the cohort (Figure 1)",
        f"median follow-up was {words.median_follow_up(found.follow_up)} months",
        f"technically successful in {words.proportion(technical)} patients",
        f"At 12 months {words.proportion(rate.rate)} patients were disease-free,"
        f" {with_ci(rate.rate)}",
        f"it would be {words.proportion(rate.worst)} and {words.proportion(rate.best)}",
        f"{time.events}/{time.patients} patients had a biochemical failure; the share without one"
        f" was {reading(at_12)} at 12 months and {reading(at_24)} at 24 months (Figure 2)",
        f"In {words.proportion(confirmed)} it was confirmed by the next PSA",
        f"Salvage therapy began in {words.proportion(found.salvaged)} patients",
        f"occurred in {words.proportion(clavien)}, {words.percent(clavien)}",
    ):
        assert sentence in TEXT, sentence


def with_ci(counted: Proportion | None) -> str:
    return words.percent(counted).replace("(", "(95 % CI ")


def reading(at: Estimate) -> str:
    assert at.survival is not None
    assert at.lower is not None
    assert at.upper is not None
    share, low, high = (round(100 * one) for one in (at.survival, at.lower, at.upper))
    return f"{share} % ({low} to {high})"


def test_the_figures_have_their_names(cohort):
    found = cohort.analysis
    names = {figure.name for figure in figures_of(found, None, cohort.config).all}
    shown = re.findall(r"figures/([\w-]+)\.svg", PAGE)
    assert len(shown) == 2
    assert set(shown) <= names
