"""What ``cohort`` says about a cohort without a patient: why they were lost."""

import json
from pathlib import Path

import pytest

from tests.unit.inputs import AS_OF, COHORT, cli

CRYOABLATION = {"system": "http://www.ama-assn.org/go/cpt", "code": "55873"}
OTHER = {"system": "http://www.ama-assn.org/go/cpt", "code": "55700"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "day", "asks"),
    [
        (CRYOABLATION, "on the first of March", False),
        (CRYOABLATION, "2016", False),
        (OTHER, "2016-03-01", True),
    ],
)
def test_codes_are_asked_about_only_where_nothing_else_explains_it(
    tmp_path: Path, code: dict[str, str], day: str, asks: bool
) -> None:
    procedure = {
        "resourceType": "Procedure",
        "id": "x",
        "status": "completed",
        "code": {"coding": [code]},
        "subject": {"reference": "Patient/p1"},
        "performedDateTime": day,
    }
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.ndjson").write_text(json.dumps(procedure) + "\n", "utf-8")
    ran = cli("cohort", tmp_path / "in", tmp_path / "out", "--as-of", "2017-12-31")
    assert "The cohort is empty" in ran.err
    words = f"Are the site's codes mapped? See fhircryo mappings survey {tmp_path / 'in'}"
    assert (words in ran.err) is asks


@pytest.mark.slow
def test_dates_that_exclude_everybody_are_named(tmp_path):
    options = ("--as-of", AS_OF, "--no-report", "--from", "2030-01-01")
    ran = cli("cohort", COHORT, tmp_path / "out", *options)
    assert ran.code == 0
    assert "The cohort is empty: --from and --to exclude everybody who would be" in ran.err
    ran = cli("cohort", COHORT, tmp_path / "aggregate", *options, "--aggregate-only")
    assert "63   for reasons that are not shown apart" in ran.err


@pytest.mark.slow
def test_an_aggregate_says_why_a_number_is_hidden(tmp_path):
    ran = cli("cohort", COHORT, tmp_path / "a", "--as-of", AS_OF, "--no-report", "--aggregate-only")
    assert "with a cryoablation     hidden" in ran.err
    assert "hidden: a small number (below the setting smallest_group), or one from which" in ran.err
    assert "no index procedure         6   its cryoablation: the reasons are not shown" in ran.err
    (tmp_path / "list").write_text("2029487\n", "utf-8")
    few = ("--aggregate-only", "--patients", tmp_path / "list", "--no-report")
    ran = cli("cohort", COHORT, tmp_path / "b", "--as-of", AS_OF, *few)
    assert "The cohort has fewer patients than the setting smallest_group" in ran.err


def test_the_summary_says_what_a_list_of_patients_limits(tmp_path):
    (tmp_path / "list").write_text("2029487\n", "utf-8")
    options = ("--as-of", AS_OF, "--patients", tmp_path / "list")
    ran = cli("compute", COHORT, tmp_path / "out", *options)
    assert "only the endpoints are limited to the patients on the list" in ran.err
    ran = cli("compute", COHORT, tmp_path / "all", "--as-of", AS_OF)
    assert "--patients" not in ran.err


def test_an_as_of_in_the_future_is_told(tmp_path):
    ran = cli("compute", COHORT, tmp_path / "out", "--as-of", "2999-12-31")
    assert ran.code == 0
    assert "--as-of 2999-12-31 is in the future" in ran.err
    ran = cli("compute", COHORT, tmp_path / "out", "--as-of", "2017-12-31")
    assert "future" not in ran.err
