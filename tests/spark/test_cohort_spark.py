"""Spark gives the tables, the numbers and the report that ``cohort`` gives."""

import json
import stat
from pathlib import Path

import pytest

pytest.importorskip("pyspark")

import pandas as pd
import pyarrow.parquet as pq
from pyspark import TaskContext

from fhircryo.errors import SourceError, UsageError
from fhircryo.record.patients import ALL_PATIENTS, Selection
from fhircryo.research import cohort_spark, table_files
from fhircryo.research.cohort_folder import write_cohort
from fhircryo.research.folder_options import TABLES, CohortKind, FolderOptions
from fhircryo.research.pseudonyms import Pseudonyms, write_key
from fhircryo.runs.execution import Execution
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from tests.unit.inputs import AS_OF, COHORT, cli, folder, patient, psa
from tests.unit.test_ranges import messy, written

pytestmark = pytest.mark.slow

CONFIG = RunConfig.of(Settings.model_construct(), AS_OF)


@pytest.fixture(autouse=True)
def several_parts(monkeypatch):
    """A table of more than forty rows has several parts."""
    monkeypatch.setattr(table_files, "_ROWS_PER_GROUP", 40)


@pytest.fixture
def out(tmp_path) -> Path:
    place = tmp_path / "out"
    place.mkdir()
    return place


def without_inputs(manifest: Path) -> dict:
    """The manifest without what Spark does not know: the hashes of the input as a whole."""
    found = json.loads(manifest.read_text())
    for one in found["inputs"]:
        one.pop("sha256", None)
        one.pop("sha256_hmac", None)
    found["inputs"].sort(key=str)
    return found


def check_tables(found: Path, expected: Path) -> None:
    package = json.loads((found / "datapackage.json").read_text())
    described = {one["name"]: one["path"] for one in package["resources"]}
    assert list(described) == list(TABLES)
    for name in TABLES:
        table = pq.read_table(expected / f"{name}.parquet")
        parts = sorted((found / f"{name}.parquet").iterdir())
        assert [f"{name}.parquet/{part.name}" for part in parts] == described[name]
        assert len(parts) == max(1, -(-len(table) // 40))
        tables = [pq.read_table(part) for part in parts]
        for one in tables:
            assert one.schema.equals(table.schema, check_metadata=True)
        assert sum(map(len, tables)) == len(table)
        rows = [row for one in tables for row in one.to_pylist()]
        assert rows == table.to_pylist(), name
        frame = pd.read_parquet(found / f"{name}.parquet")
        pd.testing.assert_frame_equal(frame, pd.read_parquet(expected / f"{name}.parquet"))


def check(
    spark,
    source: Path,
    place: Path,
    kind: CohortKind = "pseudonymised",
    *,
    ranges: int = 3,
    report: bool = False,
    config: RunConfig = CONFIG,
) -> None:
    key = place / "key"
    write_key(key, Pseudonyms(bytes(32)))
    options = FolderOptions(
        kind,
        ("parquet",),
        report,
        key=key if kind == "pseudonymised" else None,
        measure_report=True,
    )
    expected, found = place / "plain", place / "spark"
    told = write_cohort(source, expected, config, options)
    how = Execution(ranges=ranges)
    assert (
        cohort_spark.write_cohort_on_spark(spark, str(source), str(found), config, options, how)
        == told
    )
    assert {path.name for path in found.iterdir()} == {path.name for path in expected.iterdir()}
    if kind != "aggregate-only":
        check_tables(found, expected)
    others = [
        path.relative_to(expected)
        for path in expected.rglob("*")
        if path.is_file()
        and path.suffix != ".parquet"
        and path.name not in ("manifest.json", "datapackage.json")
    ]
    assert others
    for name in others:
        assert (found / name).read_bytes() == (expected / name).read_bytes(), name
    assert without_inputs(found / "manifest.json") == without_inputs(expected / "manifest.json")
    for path in (found, *found.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    assert {path.name for path in place.iterdir()} == {"key", "plain", "spark"}


@pytest.mark.parametrize("kind", ["pseudonymised", "aggregate-only"])
def test_the_example_cohort(kind, spark, out):
    check(spark, COHORT, out, kind, report=kind == "pseudonymised")


@pytest.mark.parametrize("seed", range(4))
def test_messy_cohorts(seed, spark, tmp_path, out):
    source = written(tmp_path / "in", messy(seed))
    check(spark, source, out, "identified" if seed % 2 else "pseudonymised", ranges=1 + seed)


def test_some_patients(spark, tmp_path, out):
    asked = Selection(frozenset({"p03", "p04", "nobody"}), frozenset({"p04"}))
    config = RunConfig.of(Settings.model_construct(), AS_OF, asked)
    assert asked != ALL_PATIENTS
    check(spark, written(tmp_path / "in", messy(3)), out, config=config)


def test_without_a_candidate_it_is_computed_in_memory(spark, tmp_path, out):
    source = folder(tmp_path / "in", {"a.ndjson": [patient("p1"), psa("a", "2016-05-01", 1)]})
    check(spark, source, out)


class FailingTask(cohort_spark._Task):
    """Fails in its first attempt, when everything was given to Spark."""

    def compute(self, *arguments):
        yield from super().compute(*arguments)
        if TaskContext.get().attemptNumber() == 0:
            raise OSError("the machine is gone")


def test_a_task_that_fails_is_repeated_and_doubles_nothing(spark, tmp_path, out, monkeypatch):
    monkeypatch.setattr(cohort_spark, "_Task", FailingTask)
    check(spark, written(tmp_path / "in", messy(0)), out)


class BrokenTask(cohort_spark._Task):
    """Fails in every attempt."""

    def compute(self, *arguments):
        raise OSError("the machine is gone")


def test_a_run_that_fails_leaves_nothing(spark, out, monkeypatch):
    monkeypatch.setattr(cohort_spark, "_Task", BrokenTask)
    with pytest.raises(SourceError, match="the machine is gone"):
        cohort_spark.write_cohort_on_spark(
            spark, str(COHORT), str(out / "spark"), CONFIG, FolderOptions()
        )
    assert not list(out.iterdir())


def test_only_an_earlier_cohort_is_replaced(spark, tmp_path, out):
    source = written(tmp_path / "in", messy(1))
    target = out / "spark"
    for _ in range(2):
        cohort_spark.write_cohort_on_spark(
            spark, str(source), str(target), CONFIG, FolderOptions(report=False)
        )
    assert {path.name for path in out.iterdir()} == {"spark", "spark.key"}
    (target / "thesis.docx").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        cohort_spark.write_cohort_on_spark(
            spark, str(source), str(target), CONFIG, FolderOptions(report=False)
        )


class WatchingTask(cohort_spark._Task):
    """Fails if it knows the settings."""

    def compute(self, *arguments):
        assert self.config.settings.log_level != "SECRET"
        yield from super().compute(*arguments)


def test_no_secret_of_the_settings_reaches_a_task(spark, tmp_path, out, monkeypatch):
    monkeypatch.setattr(cohort_spark, "_Task", WatchingTask)
    config = RunConfig.of(Settings.model_construct(log_level="SECRET"), AS_OF)
    check(spark, written(tmp_path / "in", messy(0)), out, config=config)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--engine", "spark", "--workers", "2"], "--workers"),
        (["--engine", "spark", "--memory", "500MB"], "--memory"),
        (["--engine", "spark", "--keep"], "--keep"),
        (["--engine", "spark", "--format", "redcap"], "--format parquet"),
        (["--engine", "spark", "--format", "csv"], "--format parquet"),
        (["--spark-master", "local[2]"], "--engine spark"),
    ],
)
def test_options_that_contradict_each_other(options, named, tmp_path):
    ran = cli("cohort", COHORT, tmp_path / "out", *options)
    assert ran.code == 2
    assert named in ran.err


@pytest.mark.parametrize("server", [0, 1])
def test_servers_are_refused(server, tmp_path):
    places = [str(tmp_path / "in"), str(tmp_path / "out")]
    places[server] = "https://fhir.example/r4"
    ran = cli("cohort", *places, "--engine", "spark")
    assert ran.code == 2
    assert ("SOURCE", "FOLDER")[server] in ran.err


def test_a_folder_elsewhere_needs_a_key():
    """The key is not written where the tables are, and no other place is known."""
    from fhircryo.research.cohort_writer import CohortWriter

    with pytest.raises(UsageError, match="name --key"):
        CohortWriter.to(None, CONFIG, FolderOptions())
    assert CohortWriter.to(None, CONFIG, FolderOptions("identified")).key is None
