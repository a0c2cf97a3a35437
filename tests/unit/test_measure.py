"""The Measure of disease-free at the landmark and the MeasureReport of a cohort."""

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fhircryo.publish.validate import InvalidShape, validate
from fhircryo.research.measure_report import _Parts, _told_years
from tests.unit import inputs
from tests.unit.inputs import AS_OF, COHORT, cli

KEY = "disease_free_12_months"
POPULATIONS = ["initial-population", "denominator", "denominator-exclusion", "numerator"]


def pull(target: Path, *options: object, source: Path = COHORT) -> Path:
    ran = cli("cohort", source, target, "--as-of", AS_OF, "--no-report", *options)
    assert ran.code == 0, ran.err
    return target


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text("utf-8"))


def populations(group: Any) -> dict[str, int | str]:
    """The counts by population; why one is absent."""
    found = {}
    for one in group["population"]:
        extension = one.get("_count", {}).get("extension", [{}])[0]
        found[one["code"]["coding"][0]["code"]] = one.get("count", extension.get("valueCode"))
    return found


def strata(group: Any, name: str) -> dict[str, dict[str, int | str]]:
    found = {}
    for stratifier in group.get("stratifier", ()):
        if stratifier["code"][0]["text"] == name:
            for stratum in stratifier["stratum"]:
                value = stratum["value"]
                found[value.get("text") or value["coding"][0]["code"]] = populations(stratum)
    return found


@pytest.fixture(scope="module")
def identified(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("measure") / "out"
    return pull(target, "--measure-report", "--identified", "--yes")


@pytest.fixture(scope="module")
def pseudonymised(tmp_path_factory) -> Path:
    return pull(tmp_path_factory.mktemp("measure") / "out", "--measure-report")


@pytest.fixture(scope="module")
def aggregate(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("measure") / "out"
    return pull(target, "--measure-report", "--aggregate-only")


@pytest.fixture(params=["identified", "pseudonymised", "aggregate"])
def folder(request) -> Path:
    return request.getfixturevalue(request.param)


@pytest.mark.slow
def test_both_are_valid_and_belong_together(folder):
    measure, report = read(folder, "Measure.json"), read(folder, "MeasureReport.json")
    validate(measure)
    validate(report)
    assert report["measure"] == f"{measure['url']}|{measure['version']}"
    groups = measure["group"] + report["group"]
    for group in groups:
        codes = [one["code"]["coding"][0]["code"] for one in group["population"]]
        assert codes == POPULATIONS
    broken = copy.deepcopy(report)
    del broken["period"]
    with pytest.raises(InvalidShape):
        validate(broken)


def test_numbers_are_those_of_the_report(folder):
    """The publication's 36 of 57, of 62 patients."""
    [group] = read(folder, "MeasureReport.json")["group"]
    rates = {rate["key"]: rate for rate in read(folder, "rates.json")["rates"]}
    rate = rates["disease-free-12-months"]
    counts = populations(group)
    assert counts == dict(zip(POPULATIONS, (62, 62, 5, 36), strict=True))
    assert counts["numerator"] == rate["successes"]
    assert counts["denominator"] - counts["denominator-exclusion"] == rate["n"]
    assert counts["initial-population"] == read(folder, "flow.json")["cohort"]
    assert group["measureScore"]["value"] == round(36 / 57, 4)


def test_years_and_reasons_are_those_of_the_tables(identified):
    report = read(identified, "MeasureReport.json")
    [group] = report["group"]
    patients = pd.read_parquet(identified / "patients.parquet")
    years = patients["index_date"].dt.year
    found = strata(group, "year of treatment")
    assert set(found) == set(map(str, years))
    for year, counts in found.items():
        of_year = patients[years == int(year)]
        assert counts == dict(
            zip(
                POPULATIONS,
                (len(of_year), len(of_year), of_year[KEY].isna().sum(), of_year[KEY].sum()),
                strict=True,
            )
        )
    reasons = Counter(patients[patients[KEY].isna()][f"{KEY}_reason"])
    told = strata(group, "reason of exclusion")
    assert {reason: one["denominator-exclusion"] for reason, one in told.items()} == reasons
    assert report["period"] == {"start": str(years.min()), "end": "2017-12-31"}


def test_no_year_can_be_read_for_a_row_without_dates(pseudonymised):
    """No part of a year is small, and the years together are the whole."""
    [group] = read(pseudonymised, "MeasureReport.json")["group"]
    found = strata(group, "year of treatment")
    for counts in found.values():
        known = counts["denominator"] - counts["denominator-exclusion"]
        parts = (counts["numerator"], known - counts["numerator"], counts["denominator-exclusion"])
        assert all(part == 0 or part >= 5 for part in parts)
    if found:
        whole = populations(group)
        for population in POPULATIONS:
            assert sum(counts[population] for counts in found.values()) == whole[population]
    assert strata(group, "reason of exclusion")


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        # 2011 has a small part, and it is with 2013 that it has none.
        (
            {(2011, "Y"): 9, (2011, "N"): 3, (2012, "Y"): 6, (2013, "Y"): 7, (2013, "N"): 8},
            {"2012": _Parts(6), "other years": _Parts(16, 11)},
        ),
        ({(2011, "Y"): 3, (2012, "Y"): 3}, {}),
        ({(2011, "Y"): 5, (2012, "N"): 5}, {"2011": _Parts(5), "2012": _Parts(no=5)}),
        ({(2011, "Y"): 5, (2012, "no-follow-up"): 1}, {}),
        ({}, {}),
    ],
)
def test_years_are_told_where_no_part_is_small(counts, told):
    assert _told_years(counts, 5) == told
    everything = _told_years(counts, 1)
    assert set(everything) == {str(year) for year, _ in counts}


def test_an_aggregate_tells_neither_years_nor_reasons(aggregate):
    report = read(aggregate, "MeasureReport.json")
    assert "stratifier" not in report["group"][0]
    assert report["period"] == {"end": "2017-12-31"}


@pytest.fixture
def few(tmp_path) -> Path:
    """Three patients."""
    return inputs.folder(
        tmp_path / "in",
        {
            "Patient.ndjson": [inputs.patient(f"p{number}") for number in range(3)],
            "Procedure.ndjson": [
                inputs.procedure(f"x{number}", "2015-01-10", f"p{number}") for number in range(3)
            ],
            "Observation.ndjson": [
                inputs.psa("a", "2014-12-01", 5, "p0"),
                inputs.psa("b", "2015-06-01", 0.4, "p0"),
                inputs.psa("c", "2016-03-01", 0.4, "p0"),
            ],
        },
    )


def test_of_a_few_patients_an_aggregate_tells_nothing(few, tmp_path):
    target = pull(tmp_path / "out", "--measure-report", "--aggregate-only", source=few)
    report = read(target, "MeasureReport.json")
    validate(report)
    [group] = report["group"]
    assert set(populations(group).values()) == {"masked"}
    assert "measureScore" not in group


def test_a_source_without_conditions_gives_no_rate(few, tmp_path):
    """Only those who are not disease-free would be known."""
    target = pull(tmp_path / "out", "--measure-report", "--identified", "--yes", source=few)
    [group] = read(target, "MeasureReport.json")["group"]
    expected = {"initial-population": 3, "denominator": 3}
    hidden = {"denominator-exclusion": "unknown", "numerator": "unknown"}
    assert populations(group) == expected | hidden
    assert "measureScore" not in group
    assert strata(group, "year of treatment") == {"2015": expected | hidden}


def test_without_the_option_there_are_none(few, tmp_path):
    target = pull(tmp_path / "out", source=few)
    assert not (target / "MeasureReport.json").exists()
    assert not (target / "Measure.json").exists()


@pytest.mark.slow
def test_processes_change_nothing(tmp_path):
    """The counts of several processes are added."""
    one, other = (
        pull(tmp_path / name, "--measure-report", "--key", tmp_path / "key", "--workers", workers)
        for name, workers in (("one", 1), ("other", 2))
    )
    for name in ("Measure.json", "MeasureReport.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
