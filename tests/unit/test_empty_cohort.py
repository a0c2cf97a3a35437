"""What ``cohort`` says about a cohort without a patient: why they were lost."""

import json
from pathlib import Path

import pytest

from tests.unit.inputs import COHORT, cli

CRYOABLATION = {"system": "http://www.ama-assn.org/go/cpt", "code": "55873"}
OTHER = {"system": "http://www.ama-assn.org/go/cpt", "code": "55700"}


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


def test_an_as_of_in_the_future_is_told(tmp_path):
    ran = cli("compute", COHORT, tmp_path / "out", "--as-of", "2999-12-31")
    assert ran.code == 0
    assert "--as-of 2999-12-31 is in the future" in ran.err
    ran = cli("compute", COHORT, tmp_path / "out", "--as-of", "2017-12-31")
    assert "future" not in ran.err
