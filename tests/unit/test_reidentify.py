"""The way back from a pseudonym to the patient."""

import csv

import pytest

from tests.unit.inputs import COHORT, cli


@pytest.fixture
def pulled(tmp_path):
    """A pseudonymised cohort, and the pseudonyms in its tables."""
    target = tmp_path / "cohort"
    assert cli("cohort", COHORT, target, "--as-of", "2017-12-31", "--no-report").code == 0
    with (target / "patients.csv").open(newline="") as file:
        return tmp_path / "cohort.key", [row["patient"] for row in csv.DictReader(file)]


@pytest.mark.slow
def test_every_pseudonym_leads_to_its_patient(pulled):
    key, pseudonyms = pulled
    ran = cli("reidentify", COHORT, *pseudonyms, "--key", key)
    assert ran.code == 0
    pairs = [line.split() for line in ran.out.splitlines()]
    assert [one for one, _ in pairs] == pseudonyms
    patients = {one for _, one in pairs}
    assert len(patients) == len(pseudonyms) == 62
    explained = cli("explain", COHORT, pseudonyms[0], "--key", key, "--as-of", "2017-12-31")
    assert explained.code == 0
    assert explained.out.startswith(pairs[0][1])


@pytest.mark.slow
def test_what_is_not_found_is_named_and_the_rest_is_printed(pulled):
    key, pseudonyms = pulled
    ran = cli("reidentify", COHORT, "Pnobody", pseudonyms[0], "--key", key)
    assert ran.code == 2
    assert ran.out.split()[0] == pseudonyms[0]
    assert "Pnobody: no patient" in ran.err
    assert pseudonyms[0] not in ran.err


@pytest.mark.slow
def test_another_key_leads_nowhere(pulled, tmp_path):
    _, pseudonyms = pulled
    other = tmp_path / "other"
    assert cli("cohort", COHORT, other, "--as-of", "2017-12-31", "--no-report").code == 0
    for command in ("reidentify", "explain"):
        ran = cli(command, COHORT, pseudonyms[0], "--key", tmp_path / "other.key")
        assert (ran.code, ran.out) == (2, "")
        assert "is it the key of that cohort" in ran.err


@pytest.mark.slow
def test_who_objected_is_not_found(pulled, tmp_path):
    key, pseudonyms = pulled
    patient = cli("reidentify", COHORT, pseudonyms[0], "--key", key).out.split()[1]
    objected = tmp_path / "objected.txt"
    objected.write_text(patient.removeprefix("Patient/") + "\n")
    ran = cli("reidentify", COHORT, pseudonyms[0], "--key", key, "--exclude", objected)
    assert (ran.code, ran.out) == (2, "")


@pytest.mark.slow
def test_a_key_is_needed_and_goes_with_one_patient(pulled, tmp_path):
    key, pseudonyms = pulled
    assert cli("reidentify", COHORT, pseudonyms[0]).code == 2
    ran = cli("reidentify", COHORT, pseudonyms[0], "--key", tmp_path / "none.key")
    assert ran.code == 2
    assert "none.key" in ran.err
    listed = tmp_path / "list.txt"
    listed.write_text("p1\n")
    ran = cli("explain", COHORT, "--patients", listed, "--key", key)
    assert ran.code == 2
    assert "--key is for one PATIENT" in ran.err
