"""The files and messages of an aggregate say nothing but what its checked numbers say."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fhircryo
from fhircryo.research import cohort_writer
from fhircryo.research.aggregate import aggregated
from fhircryo.research.aggregate_times import shown_survival
from fhircryo.research.cohort_tables import Cohort
from fhircryo.research.folder_options import FolderOptions
from fhircryo.research.shown_groups import ShownGroups
from fhircryo.settings import Settings
from tests.unit import inputs
from tests.unit.inputs import AS_OF, COHORT, cli
from tests.unit.stub_fhir import StubFhir

OPTIONS = FolderOptions("aggregate-only", ("csv",))


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def ids() -> list[str]:
    lines = (COHORT / "Patient.ndjson").read_text().splitlines()
    return sorted(json.loads(line)["id"] for line in lines)


def few(tmp_path: Path, name: str, patients: list[str]) -> tuple[dict[str, bytes], str, str]:
    """The files and the messages of an aggregate of these patients of the example."""
    wanted, target = tmp_path / f"{name}.txt", tmp_path / name
    wanted.write_text("\n".join(patients))
    ran = cli("cohort", COHORT, target, "--as-of", AS_OF, "--aggregate-only", "--patients", wanted)
    assert ran.code == 0, ran.err
    return files_of(target), ran.err, ran.out.replace(str(target), "FOLDER")


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return fhircryo.cohort(COHORT, as_of=AS_OF, settings=Settings())


@pytest.mark.slow
def test_any_few_patients_give_the_same_files_and_messages(tmp_path):
    """So nothing at all is said of them, not even how many they are."""
    patients = ids()
    one = few(tmp_path, "one", patients[:1])
    four = few(tmp_path, "four", [*patients[40:44]])
    unknown = few(tmp_path, "unknown", [*patients[20:23], "nobody"])
    assert one == four
    assert unknown[0] == one[0]
    assert unknown[1].replace(_UNKNOWN, "") == one[1]
    assert "nobody" not in unknown[1]


_UNKNOWN = (
    "UNKNOWN: some of the patients that were requested are not in the source; fhircryo compute"
    " names them\n"
)


def counts_of(content: Any) -> Iterator[int]:
    if isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from counts_of(value)
    elif isinstance(content, int) and not isinstance(content, bool):
        yield content


@pytest.mark.slow
def test_no_file_about_few_patients_has_a_number(tmp_path):
    """The case of three patients: every cell that can be a number is hidden."""
    files, err, _ = few(tmp_path, "three", ["2015001", "2088461"])
    flow = json.loads(files["flow.json"])
    assert list(counts_of(flow)) == [0]  # the unreadable lines
    assert list(counts_of(json.loads(files["rates.json"]))) == []
    page = re.sub(r"data:image[^\"]*", "", files["report.html"].decode())
    tables = page[page.index('<h2 id="flow">') : page.index('<h2 id="methods">')]
    cells = re.findall(r'<td class="n">([^<]*)</td>', tables)
    assert len(cells) > 20
    assert set(cells) == {"not shown"}
    assert not re.search(r"\d+/\d+(?! \()(?=:|<)", tables)
    assert not re.search(r"\d", re.sub(r"\(.*?\)", "", err))
    assert b"number of patients in the cohort is not shown" in files["methods.md"]
    assert [name for name in files if name.startswith("figures/")] == [
        "figures/flow.csv",
        "figures/flow.svg",
    ]


@pytest.mark.slow
def test_the_files_are_made_of_the_checked_numbers_alone(cohort, tmp_path, monkeypatch):
    """With the same checked numbers, another cohort behind them gives the same files."""
    shown = aggregated(cohort.analysis, cohort.tables, cohort.config, 5)
    monkeypatch.setattr(cohort_writer, "aggregated", lambda *_: shown)
    some = set(ids()[:30])
    other = fhircryo.cohort(COHORT, as_of=AS_OF, settings=Settings(), patients=some)
    folders = tmp_path / "one", tmp_path / "other"
    for folder, behind in zip(folders, (cohort, other), strict=True):
        folder.mkdir()
        cohort_writer._write_folder(folder, behind, OPTIONS, None, None)
    assert len(other["patients"]) < len(cohort["patients"])
    assert files_of(folders[0]) == files_of(folders[1])


@pytest.mark.slow
def test_what_could_not_be_read_is_told_without_its_number(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    shutil.copytree(COHORT, source)
    with (source / "Patient.ndjson").open("ab") as file:
        file.write(b"{\n{\n{\n")
    ran = cli("cohort", source, target, "--as-of", AS_OF, "--aggregate-only")
    assert ran.code == 4
    assert "UNREADABLE: some lines or files" in ran.err
    assert json.loads((target / "flow.json").read_text())["unreadable"] is None
    assert "Some lines or files could not be read" in (target / "report.html").read_text()


@pytest.mark.slow
def test_the_shares_of_a_reading_have_two_decimals(cohort):
    """In the data of the figures too: more would tell who was censored before which event."""
    read = []
    for one in cohort.analysis.survival:
        read += shown_survival(one, ShownGroups(cohort["patients"], 5)).landmarks
    assert len(read) >= 5
    for reading in read:
        for share in (reading.survival, reading.lower, reading.upper):
            assert share is None or share == round(share, 2)


@pytest.mark.slow
@pytest.mark.parametrize("level", [None, "info"])
def test_the_log_of_a_server_has_no_number_of_patients(tmp_path, monkeypatch, level):
    """Not on a terminal, where it begins at info otherwise: how many were asked for, and ids."""
    if level is not None:
        monkeypatch.setenv("FHIRCRYO_LOG_LEVEL", level)
    record = [inputs.patient("p1"), inputs.procedure(), inputs.psa("a", "2016-03-01", 0.4)]
    with StubFhir(*record) as server:
        of = ("cohort", server.base, tmp_path / "out", "--as-of", AS_OF, "--no-report")
        ran = cli(*of, "--aggregate-only")
        assert ran.code == 0, ran.err
        asked = " requests for 1 patients"
        assert (asked in ran.err) == (level is not None)
        assert bool(re.search(r"\d", ran.err.replace(server.base, ""))) == (level is not None)
        assert asked in cli(*of).err
