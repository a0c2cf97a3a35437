"""What the fuzzer found: each defect by the smallest input that showed it."""

from pathlib import Path

import pytest

from tests.fuzz.oracles import check_folder
from tests.fuzz.program import run, shared_among_processes
from tests.unit.inputs import AS_OF, folder, merged, patient, procedure, psa


def _computed(tmp_path: Path, name: str, source: Path, *options: str) -> Path:
    out = tmp_path / name
    check_folder(out, run("compute", source, out, "--as-of", str(AS_OF), *options))
    return out


# Two versions of a resource of a patient outside the cohort; the older one was in no issue.
OUTSIDE = {
    "merged patient": [patient("p9"), merged("p9", into="p8")],
    "after the cut-off date": [
        procedure("x9", on="2019-01-01", of="p9"),
        *[psa("a", "2016-02-02", 1.0, of="p9"), psa("a", "2016-02-02", 2.0, of="p9")],
    ],
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_older_versions_outside_the_cohort_are_among_the_issues(case, tmp_path):
    """check_folder compares the manifest's counts with the issues."""
    source = folder(tmp_path / "in", {"a.ndjson": [procedure(), patient("p1"), *OUTSIDE[case]]})
    issues = (_computed(tmp_path, "out", source) / "issues.ndjson").read_text("utf-8")
    assert '"superseded"' in issues


def test_the_issues_of_a_patient_outside_the_cohort_have_one_order(tmp_path):
    treatments = [procedure(f"x{number}", on="2019-01-01") for number in range(9)]
    forwards = folder(tmp_path / "in", {"a.ndjson": [*treatments, patient("p1")]})
    backwards = folder(tmp_path / "in2", {"a.ndjson": [*treatments[::-1], patient("p1")]})
    one = _computed(tmp_path, "one", forwards) / "issues.ndjson"
    two = _computed(tmp_path, "two", backwards) / "issues.ndjson"
    with shared_among_processes():
        three = _computed(tmp_path, "three", forwards, "--workers", "2") / "issues.ndjson"
    assert one.read_bytes() == two.read_bytes() == three.read_bytes()


@pytest.mark.parametrize(
    "line", ["p1\u200b", "\ufeff\ufeffp1", "\u200ep1", "p1\x00", '"p1"', "'p1'"]
)
def test_an_id_that_would_name_nobody_is_refused(line, tmp_path):
    """Pasted from a document or a spreadsheet; who objected was computed."""
    source = folder(tmp_path / "in", {"a.ndjson": [procedure(), patient("p1")]})
    objected = tmp_path / "objected.txt"
    objected.write_text(f"# objected\n{line}\n", encoding="utf-8")
    done = run("compute", source, tmp_path / "out", "--exclude", objected)
    assert done.code == 2
    assert f"{objected}:2: " in done.err
    assert not (tmp_path / "out").exists()
