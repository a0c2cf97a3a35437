"""How many patients reached a nadir as low as a threshold."""

from decimal import Decimal

import pandas as pd
import pytest

from fhircryo.research.nadir_shares import nadir_shares
from tests.unit.inputs import AS_OF, cli, folder, patient, procedure, psa


@pytest.mark.parametrize(
    ("nadirs", "successes", "n", "not_known"),
    [
        ([(0.5, None), (0.51, None)], 1, 2, 0),
        # Below 0.1 is up to 0.5; below 2.4 may be either side of it.
        ([(0.1, "<"), (2.4, "<")], 1, 1, 1),
        ([(0.5, "<")], 1, 1, 0),
        ([(None, None), (0.2, None)], 1, 1, 1),
        ([], 0, 0, 0),
    ],
)
def test_who_is_counted(nadirs, successes, n, not_known):
    table = pd.DataFrame(nadirs, columns=["psa_nadir", "psa_nadir_comparator"])
    (found,) = nadir_shares(table, [Decimal("0.5")])
    assert (found.counted.successes, found.counted.n, found.not_known) == (successes, n, not_known)
    assert found.threshold == Decimal("0.5")


@pytest.mark.slow
def test_the_report_tells_it(tmp_path):
    people = [
        one
        for n, nadir in enumerate((0.4, 0.6, 0.2))
        for one in (
            patient(f"p{n}"),
            procedure(f"x{n}", "2016-01-10", f"p{n}"),
            psa(f"a{n}", "2016-05-10", nadir, f"p{n}"),
            psa(f"b{n}", "2016-09-10", nadir + 0.1, f"p{n}"),
        )
    ]
    source = folder(tmp_path / "in", {"all.ndjson": people})
    ran = cli("cohort", source, tmp_path / "out", "--as-of", AS_OF, "--figures", "svg,png")
    assert ran.code == 0, ran.err
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Up to 0.5 ng/mL in 2/3 patients: 66.7 %" in page
    drawn = {one.suffix for one in (tmp_path / "out" / "figures").glob("psa-nadir.*")}
    assert drawn == {".csv", ".svg", ".png"}


def test_an_unknown_format_of_figures_is_refused(tmp_path):
    ran = cli("cohort", tmp_path, tmp_path / "out", "--as-of", AS_OF, "--figures", "jpg")
    assert ran.code == 2
    assert "--figures jpg: not one of svg, png" in ran.err
