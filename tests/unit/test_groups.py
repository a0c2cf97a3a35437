"""Groups of a cohort in the report: how they are made, and what is computed of them."""

import csv
import re
from datetime import date
from typing import Any

import pytest
from lifelines.datasets import load_rossi

from fhircryo.errors import UsageError
from fhircryo.research.columns import tables
from fhircryo.research.comparison import Comparison, compare
from fhircryo.research.grouping import By, Grouping, group_patients
from fhircryo.research.shown_comparison import shown_comparison, shown_grouping
from fhircryo.research.shown_groups import ShownGroups
from fhircryo.research.statistics.groups import cox, log_rank
from tests.unit.inputs import AS_OF, COHORT, cli
from tests.unit.test_cohort_numbers import CONFIG, Rows, frames

COLUMNS = tables(CONFIG.mappings, CONFIG.protocol)["patients"]

# ---------------------------------------------------------------- statistics


def test_cox_gives_the_published_ratios():
    """Rossi's data; Fox, Cox Proportional-Hazards Regression for Survival Data in R (2002)."""
    data = load_rossi()
    found = cox(data["week"], data["arrest"] == 1, data[["fin", "age", "prio"]])
    assert (found.patients, found.events, found.problem) == (432, 114, "")
    assert [round(one.ratio, 3) for one in found.ratios] == [0.707, 0.935, 1.102]
    assert [round(one.p, 5) for one in found.ratios] == [0.0682, 0.00129, 0.00038]
    # By cox.zph of the same text, age is the covariate whose effect is not constant.
    assert [one.proportional < 0.05 for one in found.ratios] == [False, True, False]


def test_cox_leaves_out_who_lacks_a_covariate_and_says_what_it_cannot():
    data = load_rossi().head(60).copy()
    data.loc[:9, "age"] = None
    found = cox(data["week"], data["arrest"] == 1, data[["age"]])
    assert found.patients == 50
    data["same"] = 1
    assert (
        cox(data["week"], data["arrest"] == 1, data[["same"]]).problem == "all have the same same"
    )
    assert cox([1, 2], [False, False], data[["prio"]].head(2)).problem == "no event"
    separated = load_rossi().head(6).assign(x=[1, 1, 1, 0, 0, 0])[["x"]]
    found = cox([1, 2, 3, 9, 9, 9], [True] * 3 + [False] * 3, separated)
    assert "does not converge" in found.problem


def test_log_rank_of_freireich():
    """6-mercaptopurine against placebo: chi-square 16.79 (Kleinbaum and Klein, chapter 2)."""
    treated = [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    placebo = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
    events = [True] * 9 + [False] * 12 + [True] * 21
    found = log_rank(treated + placebo, events, ["a"] * 21 + ["b"] * 21)
    assert found == pytest.approx(4.17e-5, rel=0.01)
    assert log_rank([1, 2], [True, True], ["a", "a"]) is None
    assert log_rank([1, 2], [False, False], ["a", "b"]) is None


# ---------------------------------------------------------------- how groups are made


def grouped(rows: Rows, by: str) -> Grouping:
    return group_patients(frames(rows)["patients"], COLUMNS, By.of(by))


def test_a_category_keeps_the_order_of_its_levels():
    rows: Rows = [{"worst_clavien_dindo": grade} for grade in ("II", "none", "IIIb", None)]
    found = grouped(rows, "worst_clavien_dindo")
    assert found.groups == ("none", "II", "IIIb")
    assert found.of == ("II", "none", "IIIb", None)
    assert found.unknown == 1


def test_a_yes_or_no_and_a_number():
    rows: Rows = [{"hormone_therapy_at_index": value} for value in (True, False, None)]
    assert grouped(rows, "hormone_therapy_at_index").of == ("yes", "no", None)
    rows = [{"baseline_psa": value} for value in (1.0, 2.0, 3.0, 4.0, 5.0, None)]
    found = grouped(rows, "baseline_psa")
    assert found.words == "PSA, ng/mL, divided at the median"
    assert found.of == ("up to 3",) * 3 + ("above 3",) * 2 + (None,)
    rows = [{"age_years": value} for value in (60, 70, 60)]
    assert grouped(rows, "age_years").groups == ("60", "70")


@pytest.mark.parametrize("by", ["nothing", "patient"])
def test_what_divides_nothing_is_refused(by):
    patients = frames([{}])["patients"].drop(columns="index_date")
    with pytest.raises(UsageError, match=f"--by {by}"):
        group_patients(patients, COLUMNS, By.of(by))


def test_identified_tables_have_the_year():
    rows: Rows = [{"index_date": date(year, 5, 1)} for year in (2012, 2011, 2012)]
    assert grouped(rows, "index_year").of == ("2012", "2011", "2012")


def test_years_of_few_patients_are_joined_with_those_beside_them():
    years = [2010, *[2011] * 6, *[2012] * 5, *[2013] * 2, *[2014] * 3, 2016]
    rows: Rows = [{"index_date": date(year, 5, 1)} for year in years]
    patients = frames(rows)["patients"]
    found = group_patients(patients, COLUMNS, By.of("index_year"), smallest_period=5)
    # Neither the first nor the last year is named: each may be that of one patient.
    assert found.groups == ("up to 2011", "2012", "2013 and later")
    assert [found.of.count(group) for group in found.groups] == [7, 5, 6]


def test_more_years_than_can_be_compared_become_periods():
    rows: Rows = [{"index_date": date(2000 + number, 5, 1)} for number in range(9)]
    found = grouped(rows, "index_year")
    assert len(found.groups) == 6
    assert found.groups[0] == "2000 to 2001"
    assert found.unknown == 0


def test_too_many_groups_are_refused():
    rows: Rows = [{"clinical_t_category": f"cT{number}"} for number in range(7)]
    with pytest.raises(UsageError, match="7 groups; at most 6"):
        grouped(rows, "clinical_t_category")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name,arm\np0,a\n", "no column patient"),
        ("patient,group\np0,a\n", "no column arm"),
        ("patient,arm,arm\np0,a,b\n", "2 columns arm"),
        ("patient,arm\np0,a\np0,b\n", "p0 is in two groups"),
        ("patient,arm\nnobody,a\n", "none of its patients is in the cohort"),
        ("", "no column patient"),
        (b"patient,arm\np0,\xff\n", "cannot be read"),
    ],
)
def test_a_file_that_names_no_groups_is_refused(content, words, tmp_path):
    file = tmp_path / "arms.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=words):
        grouped([{}, {}], f"{file}:arm")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"none\.csv"):
        grouped([{}], f"{tmp_path / 'none.csv'}:arm")


# ---------------------------------------------------------------- what is computed of them


def compared(rows: Rows, by: str, covariates: tuple[str, ...] = ()) -> Comparison:
    patients = frames(rows)["patients"]
    return compare(
        patients, group_patients(patients, COLUMNS, By.of(by)), COLUMNS, CONFIG, covariates
    )


def survivor(day: int, *, event: bool, **more: Any) -> dict[str, Any]:
    return {"overall_survival": day, "overall_survival_event": event, **more}


def test_groups_are_counted_apart():
    rows: Rows = [
        survivor(
            100 * n,
            event=n % 3 == 0,
            hormone_therapy_at_index=n % 2 == 0,
            age_years=50 + 7 * n % 20,
        )
        for n in range(1, 21)
    ]
    rows.append(survivor(5000, event=True))
    rows[0] |= {"disease_free_12_months_salvage_event": True}
    rows[1] |= {"disease_free_12_months_salvage_event": False}
    found = compared(rows, "hormone_therapy_at_index", ("age_years",))
    assert (found.grouping.groups, found.patients) == (("no", "yes"), (10, 10))
    assert found.grouping.unknown == 1
    rate = found.rates[0].counted
    assert [(one.successes, one.n) for one in rate if one is not None] == [(1, 1), (0, 1)]
    ages = [rows[0].values for rows in found.baseline]
    assert [one.median for one in ages if one is not None] == [60, 59]
    time = next(one for one in found.times if one.endpoint.key == "overall-survival")
    assert [(one.n, one.n_events) for one in time.curves] == [(10, 3), (10, 3)]
    assert time.p is not None
    assert time.p > 0.05
    assert time.model is not None
    names = [one.covariate for one in time.model.ratios]
    assert names == ["Hormone therapy at index: yes (to no)", "age_years"]


def test_a_covariate_that_is_none_is_refused():
    with pytest.raises(UsageError, match="--covariates shoe_size"):
        compared([survivor(9, event=True, age_years=60)], "age_years", ("shoe_size",))


def test_groups_of_few_patients_are_pooled_or_refused():
    patients = frames([{}] * 40)["patients"]
    names = ("a",) * 20 + ("b",) * 14 + ("c",) * 3 + (None,) * 3
    shown = shown_grouping(Grouping("arm", ("a", "b", "c"), names), ShownGroups(patients, 5))
    assert [shown.of.count(group) for group in shown.groups] == [20, 14, 6]
    assert shown.groups == ("a", "b", "other")
    assert shown.unknown == 0
    alone = Grouping("arm", ("a", "b"), ("a",) * 38 + ("b",) * 2)
    with pytest.raises(UsageError, match="too small to be shown"):
        shown_grouping(alone, ShownGroups(patients, 5))
    few = Grouping("age", ("up to 3", "above 3"), ("up to 3", "above 3") * 8, at_median=True)
    with pytest.raises(UsageError, match="too small to be shown"):
        shown_grouping(few, ShownGroups(patients.head(16), 5))


def test_numbers_by_a_secret_group_are_shown_where_everybody_has_a_double():
    rows: Rows = [
        survivor(100, event=n % 2 == 0, salvage_therapy=False, baseline_psa=n // 20)
        for n in range(80)
    ]
    patients = frames(rows)["patients"]
    shown = ShownGroups(patients, 5, secret=True)
    grouping = shown_grouping(group_patients(patients, COLUMNS, By("baseline_psa")), shown)
    found = shown_comparison(compare(patients, grouping, COLUMNS, CONFIG), shown)
    events = {rate.column: rate.counted for rate in found.rates}["overall_survival"]
    assert [(one.successes, one.n) for one in events if one is not None] == [(10, 20)] * 4
    assert found.baseline == ()
    assert found.times == ()


# ---------------------------------------------------------------- the command


@pytest.mark.slow
def test_the_report_compares_the_groups_of_a_file(tmp_path):
    target, options = tmp_path / "cohort", ["--as-of", AS_OF, "--key", tmp_path / "key"]
    assert cli("cohort", COHORT, target, *options, "--no-report").code == 0
    with (target / "patients.csv").open(newline="") as file:
        patients = [row["patient"] for row in csv.DictReader(file)]
    arms = tmp_path / "arms.csv"
    arms.write_text("patient,arm\n" + "".join(f"{p},<b>{n % 2}\n" for n, p in enumerate(patients)))
    ran = cli("cohort", COHORT, target, *options, "--by", f"{arms}:arm")
    assert ran.code == 0, ran.err
    text = (target / "report.html").read_text()
    assert "Groups: arm" in text
    assert "&lt;b&gt;0 (n = 31)" in text
    assert "Log-rank test: P" in text
    assert "<b>0" not in text
    assert (target / "figures" / "groups-disease-free-survival.csv").exists()


@pytest.mark.slow
@pytest.mark.parametrize("ranges", [(), ("--workers", "2")])
def test_the_year_makes_groups_that_no_table_shows(ranges, tmp_path):
    """The tables are those of a run without groups; no number by year is of few patients."""
    target, options = tmp_path / "cohort", ["--as-of", AS_OF, "--key", tmp_path / "key", *ranges]
    assert cli("cohort", COHORT, target, *options, "--no-report").code == 0
    names = [file.name for file in target.iterdir() if file.suffix in (".csv", ".parquet")]
    before = {name: (target / name).read_bytes() for name in names}
    ran = cli("cohort", COHORT, target, *options, "--by", "index_year")
    assert ran.code == 0, ran.err
    assert {name: (target / name).read_bytes() for name in names} == before
    text = (target / "report.html").read_text()
    section = text.partition("Groups: year of the index procedure")[2].partition("</section>")[0]
    sizes = [int(found) for found in re.findall(r"\(n = (\d+)\)", section)]
    assert sum(sizes) == 62
    assert min(sizes) >= 20
    assert len(sizes) > 1
    assert "Log-rank" not in section
    assert not list((target / "figures").glob("groups-*"))
    others = (one for one in target.rglob("*") if one.is_file() and one.name != "report.html")
    assert not [one.name for one in others if b"index_year" in one.read_bytes()]


@pytest.mark.slow
def test_an_aggregate_compares_groups(tmp_path):
    target = tmp_path / "out"
    ran = cli(
        *("cohort", COHORT, target, "--as-of", AS_OF, "--aggregate-only", "--by", "index_year")
    )
    assert ran.code == 0, ran.err
    section = (target / "report.html").read_text().partition("Rates by group")[2]
    sizes = [int(found) for found in re.findall(r"\(n = (\d+)\)", section)]
    assert sum(sizes) == 62
    assert min(sizes) >= 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--covariates", "age_years"], "--covariates needs the groups of --by"),
        (["--by", "age_years", "--no-report"], "--by compares groups in the report"),
        (["--by", "arms.csv:arm", "--aggregate-only"], "patients of an aggregate have no names"),
        (["--by", "index_year", "--covariates", "age_years"], "Cox's model is shown neither"),
        (
            ["--by", "prior_radiotherapy", "--aggregate-only", "--covariates", "age_years"],
            "Cox's model is shown neither",
        ),
        (["--by", "shoe_size"], "no such column"),
    ],
)
def test_options_that_contradict_each_other(options, words, tmp_path):
    ran = cli("cohort", COHORT, tmp_path / "out", "--as-of", AS_OF, *options)
    assert ran.code == 2
    assert words in ran.err
    assert not (tmp_path / "out").exists()
