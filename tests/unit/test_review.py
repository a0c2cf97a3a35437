"""The pages of a review, and the decisions that come back from them."""

import json
import re
import stat
from pathlib import Path

import pandas as pd
import pytest

from fhircryo.errors import UsageError
from fhircryo.research.reviewed import kappa, read_decisions, review_of
from tests.unit.inputs import AS_OF, COHORT, cli, folder, patient, procedure, psa

HEAD = "patient,endpoint,time_point,computed,decision,reviewed,comment,reviewer,at\n"
HOSTILE = "</script><script>alert(1)</script>"

# ---------------------------------------------------------------- the pages


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("review") / "review"
    ran = cli("review", COHORT, target, "--as-of", AS_OF)
    assert ran.code == 0
    assert "(62 patients)" in ran.out
    return target


@pytest.mark.slow
def test_there_is_a_page_for_each_patient_that_only_the_owner_can_read(pages):
    assert len(list((pages / "patients").iterdir())) == 62
    for path in (pages, *pages.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077
    index = (pages / "index.html").read_text()
    links = re.findall(r'href="(patients/[0-9]+\.html)"', index)
    assert len(set(links)) == 62
    assert all((pages / link).exists() for link in links)


def test_a_page_has_what_a_reviewer_needs(pages):
    values = json.loads((pages / "manifest.json").read_text())["endpoints"]
    page = next(
        text
        for path in (pages / "patients").iterdir()
        if "Patient/2029487" in (text := path.read_text())
    )
    assert page.count('class="endpoint"') == len(values["2029487"])
    explained = cli("explain", COHORT, "2029487", "--as-of", AS_OF, "--json").out
    for endpoint in json.loads(explained)["endpoints"]:
        name = f"{endpoint['endpoint']} {endpoint['time_point']}".strip()
        assert values["2029487"][name] == endpoint["value"]
        assert f'data-endpoint="{endpoint["endpoint"]}"' in page
    assert "Evidence: nadir Observation/" in page
    assert "data:image/svg+xml;base64," in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_what_changed_since_the_last_review_is_marked(tmp_path):
    own = [patient("p1"), procedure("x"), psa("a", "2016-03-10", 0.4), psa("b", "2016-05-10", 0.5)]
    source = folder(tmp_path / "in", {"all.ndjson": own})
    target = tmp_path / "review"
    assert "endpoints changed" not in cli("review", source, target, "--as-of", AS_OF).out
    assert "endpoints changed" not in cli("review", source, target, "--as-of", AS_OF).out
    folder(source, {"more.ndjson": [psa("c", "2016-11-10", 3.0)]})
    ran = cli("review", source, target, "--as-of", AS_OF)
    assert "endpoints changed since the last review" in ran.out
    index = (target / "index.html").read_text()
    assert (
        'data-name="biochemical-failure" data-reason="" data-flags="" data-changed="yes"' in index
    )
    assert 'data-name="technical-success" data-reason="" data-flags="" data-changed=""' in index


def test_another_folder_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.docx").write_text("mine")
    ran = cli("review", COHORT, tmp_path, "--as-of", AS_OF)
    assert ran.code == 2
    assert (tmp_path / "thesis.docx").read_text() == "mine"


def test_outside_text_is_no_markup(tmp_path):
    bad = psa("a", "2016-03-10", None, valueQuantity=None, valueString=HOSTILE)
    source = folder(
        tmp_path / "in",
        {"all.ndjson": [patient("p1"), procedure("x"), bad, psa("b", "2016-05-10", 0.5)]},
    )
    assert cli("review", source, tmp_path / "review", "--as-of", AS_OF).code == 0
    for path in (tmp_path / "review").rglob("*.html"):
        assert HOSTILE not in path.read_text()


def test_an_empty_cohort_has_an_index(tmp_path):
    source = folder(tmp_path / "in", {"all.ndjson": [patient("p1")]})
    ran = cli("review", source, tmp_path / "review", "--as-of", AS_OF)
    assert ran.code == 0
    assert "Nobody is in the cohort" in (tmp_path / "review" / "index.html").read_text()


# ---------------------------------------------------------------- decisions


def decisions(place: Path, *rows: str) -> Path:
    place.write_text(HEAD + "".join(row + "\n" for row in rows))
    return place


def test_the_latest_decision_of_a_reviewer_counts(tmp_path):
    first = decisions(tmp_path / "1.csv", "p,e,,Y,agreed,,,AB,2026-01-02T10:00:00.000Z")
    later = decisions(tmp_path / "2.csv", "p,e,,Y,disagreed,N,,AB,2026-01-03T10:00:00.000Z")
    for files in ([first, later], [later, first]):
        (found,) = read_decisions(files)
        assert (found.decision, found.value) == ("disagreed", "N")


def test_an_apostrophe_before_a_formula_is_taken_away(tmp_path):
    file = decisions(tmp_path / "1.csv", "p,e,,'-0.5,disagreed,'=1+1,'@x,AB,t")
    (found,) = read_decisions([file])
    assert (found.computed, found.reviewed, found.comment) == ("-0.5", "=1+1", "@x")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no file of decisions"),
        ("a,b\n1,2\n", "no file of decisions"),
        (HEAD + "p,e,,Y,maybe,,,AB,t\n", "row 2: it needs"),
        (HEAD + "p,e,,Y,agreed,,,,t\n", "row 2: it needs"),
        (HEAD + "p,e,,Y,agreed\n", "row 2 has another number of cells"),
        (HEAD + "p,e,,Y,agreed,,,AB,t,more\n", "row 2 has another number of cells"),
    ],
)
def test_other_files_are_refused(content, words, tmp_path):
    file = tmp_path / "d.csv"
    file.write_text(content)
    with pytest.raises(UsageError, match=words):
        read_decisions([file])


def test_kappa_is_cohens():
    """50 proposals: both yes 20, first only 5, second only 10, both no 15: kappa 0.4."""
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert kappa(pairs) == pytest.approx(0.4)
    assert kappa([("y", "y")] * 3) is None
    assert kappa([("y", ""), ("n", "n")]) is None
    assert kappa([]) is None


def test_free_text_of_reviewers_stays_out_of_pseudonymised_tables(tmp_path):
    file = decisions(
        tmp_path / "1.csv",
        "p,psa-nadir,,0.14 ng/mL,disagreed,see Mr Smith,call him,Dr Jones,t",
        "p,metastasis,,absent (unknown: unclear-site),disagreed,Y,,Dr Jones,t",
        "p,overall-survival,,'12 .. 40 days,disagreed,2016-03-20,,Dr Jones,t",
        "p,worst-clavien-dindo,,IIIb,agreed,,,Dr Adams,t",
        "q,worst-sir,,A,agreed,,,Dr Adams,t",
    )
    found = review_of(read_decisions([file]), pd.Series(["P-p"]), "P-{}".format, identified=False)
    assert found.outside == 1
    told = str(found)
    for name in ("Smith", "Jones", "Adams", "call", "2016"):
        assert name not in told
    values = {one.endpoint: (one.reviewer, one.computed, one.value) for one in found.decisions}
    assert values == {
        "psa-nadir": ("reviewer 2", "0.14 ng/mL", "other"),
        "metastasis": ("reviewer 2", "absent (unknown: unclear-site)", "Y"),
        "overall-survival": ("reviewer 2", "12 .. 40 days", "other"),
        "worst-clavien-dindo": ("reviewer 1", "IIIb", "IIIb"),
    }


# ---------------------------------------------------------------- the cohort


@pytest.mark.slow
def test_the_cohort_carries_the_decisions_of_two_reviewers(tmp_path):
    one = decisions(
        tmp_path / "ab.csv",
        "2029487,psa-nadir,,0.14 ng/mL,disagreed,0.2,unit,AB,t",
        "2029487,biochemical-failure,,Y,agreed,,,AB,t",
        "nobody,metastasis,,N,agreed,,,AB,t",
    )
    other = decisions(tmp_path / "cd.csv", "2029487,biochemical-failure,,Y,disagreed,N,,CD,t")
    target = tmp_path / "cohort"
    options = ["--as-of", AS_OF, "--review", one, "--review", other]
    ran = cli("cohort", COHORT, target, *options, "--identified", "--yes")
    assert ran.code == 0, ran.err
    table = pd.read_parquet(target / "reviews.parquet")
    assert len(table) == 3
    assert set(table["comment"].dropna()) == {"unit"}
    package = json.loads((target / "datapackage.json").read_text())
    assert package["resources"][-1]["name"] == "reviews"
    text = (target / "report.html").read_text()
    assert "3 decisions of reviewers on endpoints of the cohort; 1 others are" in text
    assert "AB: Y; CD: N" in text
    assert "AB: 0.2" in text
    # A later cohort without decisions replaces the folder as a whole.
    assert cli("cohort", COHORT, target, "--as-of", AS_OF, "--identified", "--yes").code == 0
    assert not (target / "reviews.parquet").exists()


def test_aggregates_have_no_decisions(tmp_path):
    file = decisions(tmp_path / "d.csv")
    ran = cli("cohort", COHORT, tmp_path / "out", "--aggregate-only", "--review", file)
    assert ran.code == 2
    assert "--review needs tables" in ran.err
