"""A cohort that is computed by ranges of patients is the one that is computed in memory."""

from pathlib import Path

import pytest

from fhircryo.record import ranges as record_ranges
from fhircryo.research import cohort_folder, table_files
from fhircryo.research.folder_options import FORMATS, CohortKind, FolderOptions
from fhircryo.research.pseudonyms import Pseudonyms, write_key
from fhircryo.runs import drivers
from fhircryo.runs.execution import Execution
from fhircryo.runs.processes import CAN_FORK
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from tests.unit.inputs import AS_OF, COHORT, cli, folder, patient, psa
from tests.unit.test_ranges import messy, written


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Several processes, writes and groups of rows, though the inputs are small."""
    monkeypatch.setattr(drivers, "_WORTH_SHARING", 0)
    monkeypatch.setattr(record_ranges, "_ITEMS_AT_A_TIME", 3)
    monkeypatch.setattr(table_files, "_ROWS_PER_GROUP", 10)


@pytest.fixture
def used(monkeypatch):
    """Whether each computation by ranges gave a result."""
    found = []
    whole = cohort_folder.build_ranges

    def noted(*arguments):
        built = whole(*arguments)
        found.append(built is not None)
        return built

    monkeypatch.setattr(cohort_folder, "build_ranges", noted)
    return found


def files_of(source: Path, target: Path, how: Execution, options: FolderOptions) -> dict:
    config = RunConfig.of(Settings.model_construct(), AS_OF)
    cohort_folder.write_cohort(source, target, config, options, how)
    return {
        str(path.relative_to(target)): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }


def check(
    source: Path,
    place: Path,
    kind: CohortKind = "pseudonymised",
    *,
    report: bool = False,
    counts: tuple[int, ...] = (2, 7),
) -> None:
    key = place / "key"
    write_key(key, Pseudonyms(bytes(32)))
    formats = ("csv", "parquet") if kind == "aggregate-only" else FORMATS
    options = FolderOptions(kind, formats, report, key=key if kind == "pseudonymised" else None)
    expected = files_of(source, place / "plain", Execution(ranges=1), options)
    assert ("patients.csv" in expected) == (kind != "aggregate-only")
    for workers in (1, 2) if CAN_FORK else (1,):
        for count in counts:
            how = Execution(workers=workers, ranges=count)
            found = files_of(source, place / f"{workers}-{count}", how, options)
            assert found.keys() == expected.keys()
            different = [name for name in expected if found[name] != expected[name]]
            if kind == "aggregate-only":
                # Its inputs are hashed with a key that is drawn for each run.
                assert different in ([], ["manifest.json"])
            else:
                assert different == [], (workers, count)
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pseudonymised", "identified", "aggregate-only"])
def test_the_example_cohort(kind, tmp_path, used):
    check(COHORT, tmp_path, kind, counts=(3,))
    assert all(used)


@pytest.mark.slow
def test_the_report_of_the_example_cohort(tmp_path, used):
    check(COHORT, tmp_path, report=True, counts=(5,))
    assert all(used)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_messy_cohorts(seed, tmp_path, used):
    source = written(tmp_path / "in", messy(seed))
    (tmp_path / "out").mkdir()
    check(source, tmp_path / "out", "identified" if seed % 2 else "pseudonymised")
    assert all(used) or seed % 4 == 1  # without Medications and with versions: in memory


@pytest.mark.slow
def test_without_a_candidate_it_is_computed_in_memory(tmp_path, used):
    source = folder(tmp_path / "in", {"a.ndjson": [patient("p1"), psa("a", "2016-05-01", 1)]})
    (tmp_path / "out").mkdir()
    check(source, tmp_path / "out")
    assert used
    assert not any(used)


@pytest.mark.slow
def test_the_option_gives_the_same_files(tmp_path):
    key = tmp_path / "key"
    for name, more in (("plain", []), ("bounded", ["--memory", "400MB"])):
        options = ["--as-of", AS_OF, "--key", key, "--no-report", *more]
        assert cli("cohort", COHORT, tmp_path / name, *options).code == 0
    for path in (tmp_path / "plain").iterdir():
        assert path.read_bytes() == (tmp_path / "bounded" / path.name).read_bytes()


def test_a_memory_that_is_too_small_is_refused(tmp_path):
    ran = cli("cohort", COHORT, tmp_path / "out", "--memory", "300MB")
    assert ran.code == 2
    assert "at least 400MB" in ran.err
    assert not (tmp_path / "out").exists()


def test_the_memory_of_a_server_cannot_be_limited(tmp_path):
    ran = cli("cohort", "https://fhir.example/r4", tmp_path / "out", "--memory", "500MB")
    assert ran.code == 2
    assert "--memory needs a folder" in ran.err
