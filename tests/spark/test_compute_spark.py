"""Spark gives the same bytes as ``compute``, from whatever is in a folder."""

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("pyspark")

from pyspark import TaskContext

from fhircryo.errors import SourceError, UsageError
from fhircryo.record.patients import ALL_PATIENTS, Selection
from fhircryo.runs.execution import Execution
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.spark import compute_spark
from fhircryo.runs.spark.storage import Storage
from fhircryo.runs.to_folder import compute_folder
from fhircryo.settings import ServerSettings, Settings
from fhircryo.sources import folder_ranges
from fhircryo.sources.folder_source import read_part
from tests.unit.inputs import AS_OF, COHORT, cli, folder, patient, procedure, psa
from tests.unit.test_ranges import messy, version, written

pytestmark = pytest.mark.slow

PLAIN = Settings.model_construct()
LIMITED = ServerSettings.model_construct(max_line_mb=1)
RESULT = psa("a", "2016-05-01", 1)
DATA = ("Observation.ndjson", "Provenance.ndjson", "Device.ndjson", "issues.ndjson")


def joined(target: Path) -> dict[str, bytes]:
    """The parts of each file, one after another."""
    return {
        name: b"".join(part.read_bytes() for part in sorted((target / name).iterdir()))
        for name in DATA
    }


def manifest_of(target: Path) -> dict:
    found = json.loads((target / "manifest.json").read_text())
    for one in found["inputs"]:
        one.pop("sha256")
    return found


def check(
    spark, source: Path, place: Path, selection=ALL_PATIENTS, ranges: int = 3, settings=PLAIN
) -> dict:
    config = RunConfig.of(settings, AS_OF, selection)
    expected = compute_folder(source, place / "plain", config)
    found = compute_spark.compute_spark(
        spark, str(source), str(place / "spark"), config, Execution(ranges=ranges)
    )
    assert found == expected
    for name, content in joined(place / "spark").items():
        assert content == (place / "plain" / name).read_bytes(), name
    assert manifest_of(place / "spark") == manifest_of(place / "plain")
    assert {path.name for path in place.iterdir()} == {"plain", "spark"}
    return joined(place / "spark")


@pytest.fixture
def out(tmp_path) -> Path:
    place = tmp_path / "out"
    place.mkdir()
    return place


@pytest.fixture
def small_blocks(spark):
    """Files are divided into blocks of some lines."""
    before = {name: spark.conf.get(name) for name in _BLOCKS}
    for name in _BLOCKS:
        spark.conf.set(name, "20000")
    yield
    for name, value in before.items():
        spark.conf.set(name, value)


_BLOCKS = ("spark.sql.files.maxPartitionBytes", "spark.sql.files.openCostInBytes")


def test_the_example_cohort(spark, out):
    found = check(spark, COHORT, out)
    assert found["Observation.ndjson"].count(b"\n") > 2000


@pytest.mark.parametrize("seed", range(8))
def test_messy_cohorts(seed, spark, tmp_path, out, small_blocks, monkeypatch):
    monkeypatch.setattr(compute_spark, "_TEXT_SIZE", 1000)
    source = written(tmp_path / "in", messy(seed))
    check(spark, source, out, ranges=1 + seed % 7)


def test_some_patients(spark, tmp_path, out):
    source = written(tmp_path / "in", messy(3))
    asked = Selection(frozenset({"p03", "p04", "nobody"}), frozenset({"p04"}))
    check(spark, source, out, asked)


def test_nobody_in_the_cohort(spark, tmp_path, out):
    source = folder(tmp_path / "in", {"a.ndjson": [patient("p1"), psa("a", "2016-05-01", 1)]})
    check(spark, source, out)


def text(*resources: dict, end: str = "\n") -> bytes:
    return "".join(json.dumps(one) + end for one in resources).encode()


def test_files_of_every_kind(spark, tmp_path, out, small_blocks):
    """Compressed, documents, Bundles, names with every sign, damage, no end of line, empty."""
    source = tmp_path / "in [a]"
    source.mkdir()
    people = [f"p{n}" for n in range(6)]
    everyone = [patient(p) for p in people] + [procedure(f"x-{p}", of=p) for p in people]
    results = [psa(f"{p}-{n}", f"2016-0{n}-01", n, of=p) for p in people for n in range(3, 9)]
    (source / "sub dir").mkdir()
    (source / "a*{b}?.ndjson").write_bytes(text(*everyone[:5]))
    (source / "sub dir" / "100 % é.ndjson").write_bytes(b"\xef\xbb\xbf" + text(*everyone[5:]))
    (source / "windows.ndjson").write_bytes(text(*results[:9], end="\r\n"))
    (source / "packed.ndjson.gz").write_bytes(gzip.compress(text(*results[9:18])))
    entries = [{"resource": one} for one in results[18:25]]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    (source / "bundle.json").write_text(json.dumps(bundle, indent=2))
    (source / "cut.ndjson.gz").write_bytes(gzip.compress(text(*results[25:29]))[:-20])
    (source / "cut.ndjson").write_bytes(text(*results[29:33])[:-30])
    more = [
        b"\n\n" + text(results[33]) + b"\xff\n",
        b'{"resourceType": "Observation", "id": \n[]\n  \nnull\n',
        text(version(results[34], 2), version(results[34], 1), results[35]),
    ]
    (source / "lines.ndjson").write_bytes(b"".join(more))
    (source / "empty.ndjson").write_bytes(b"")
    (source / "blank.ndjson").write_bytes(b"\n\n\n")
    (source / "old.ndjson.bz2").write_bytes(b"BZh")
    (source / "notes.txt").write_text("nothing")
    (source / "log.ndjson").write_text('{"exportId": 1}\n')
    found = check(spark, source, out)
    issues = found["issues.ndjson"].decode()
    for name in ("lines.ndjson:4", "lines.ndjson:5", "cut.ndjson:4", "empty.ndjson", "old.ndjson"):
        assert name in issues


def test_lines_that_are_too_long(spark, tmp_path, out):
    long = psa("long", "2016-03-01", 1) | {"note": [{"text": "x" * (1 << 20)}]}
    source = folder(tmp_path / "in", {"a.ndjson": [patient("p1"), procedure("x"), long]})
    found = check(spark, source, out, settings=Settings.model_construct(source=LIMITED))
    assert b"a.ndjson:3" in found["issues.ndjson"]


def test_a_file_that_spark_passes_over_is_an_error(spark, tmp_path, out):
    source = folder(
        tmp_path / "in",
        {"a.ndjson": [patient("p1"), procedure("x")], "_b.ndjson": [RESULT]},
    )
    config = RunConfig.of(Settings.model_construct(), AS_OF)
    with pytest.raises(SourceError, match=r"_b\.ndjson"):
        compute_spark.compute_spark(spark, str(source), str(out / "spark"), config)
    assert not list(out.iterdir())


def test_targets_that_are_refused(spark, tmp_path):
    config = RunConfig.of(Settings.model_construct(), AS_OF)
    source = folder(tmp_path / "in", {"a.ndjson": [patient("p1"), procedure("x")]})
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.docx").write_text("mine")
    for target in (source, tmp_path, other):
        with pytest.raises(UsageError, match="name"):
            compute_spark.compute_spark(spark, str(source), str(target), config)
    assert (other / "thesis.docx").read_text() == "mine"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_earlier_result_is_replaced(spark, tmp_path, out):
    config = RunConfig.of(Settings.model_construct(), AS_OF)
    source = folder(tmp_path / "in", {"a.ndjson": [patient("p1"), procedure("x")]})
    for _ in range(2):
        compute_spark.compute_spark(spark, str(source), str(out / "spark"), config)
    first = joined(out / "spark")
    (source / "a.ndjson").write_bytes(text(patient("p2"), procedure("x", of="p2")))
    compute_spark.compute_spark(spark, str(source), str(out / "spark"), config)
    assert joined(out / "spark") != first
    assert [path.name for path in out.iterdir()] == ["spark"]


class FailingTask(compute_spark._Task):
    """Fails in its first attempt, when everything was given to Spark."""

    def compute(self, *arguments):
        yield from super().compute(*arguments)
        if TaskContext.get().attemptNumber() == 0:
            raise OSError("the machine is gone")


def failing_read(part, collector, context):
    """Fails in its first attempt, when a part was read."""
    read_part(part, collector, context)
    if TaskContext.get().attemptNumber() == 0:
        raise OSError("the machine is gone")


@pytest.mark.parametrize("stage", ["read", "compute"])
def test_a_task_that_fails_is_repeated_and_doubles_nothing(
    stage, spark, tmp_path, out, monkeypatch, small_blocks
):
    if stage == "read":
        monkeypatch.setattr(folder_ranges, "read_part", failing_read)
    else:
        monkeypatch.setattr(compute_spark, "_Task", FailingTask)
    check(spark, written(tmp_path / "in", messy(0)), out)


class BrokenTask(compute_spark._Task):
    """Fails in every attempt."""

    def compute(self, *arguments):
        raise OSError("the machine is gone")


def test_a_run_that_fails_leaves_nothing(spark, tmp_path, out, monkeypatch):
    monkeypatch.setattr(compute_spark, "_Task", BrokenTask)
    config = RunConfig.of(Settings.model_construct(), AS_OF)
    with pytest.raises(SourceError, match="the machine is gone") as caught:
        compute_spark.compute_spark(spark, str(COHORT), str(out / "spark"), config)
    assert "\n" not in str(caught.value)
    assert not list(out.iterdir())


def test_a_driver_that_is_killed_leaves_no_half_target(tmp_path):
    command = [sys.executable, "-m", "fhircryo", "compute", str(COHORT), str(tmp_path / "out")]
    options = ["--engine", "spark", "--spark-master", "local[1]"]
    running = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    while not list(tmp_path.glob(".out.*.tmp")):
        assert running.poll() is None, "it ended before it wrote anything"
        assert time.monotonic() < limit, "it never wrote anything"
        time.sleep(0.02)  # another process writes: nothing here can be waited for
    running.kill()
    running.wait()
    assert not (tmp_path / "out").exists()


def test_what_is_listed_elsewhere_is_what_is_listed_here(spark, tmp_path, out, monkeypatch):
    """Hadoop's listing, which HDFS and object stores need, finds the same files."""
    source = tmp_path / "in"
    (source / "sub" / "deep").mkdir(parents=True)
    (source / "earlier" / "Observation.ndjson").mkdir(parents=True)
    (source / "earlier" / "manifest.json").write_text('{"fhircryo": "0.1.0"}')
    (source / "earlier" / "Observation.ndjson" / "part-0.ndjson").write_bytes(text(RESULT))
    (source / "a.ndjson").write_bytes(text(patient("p1"), procedure("x")))
    (source / "sub" / "b c.ndjson.gz").write_bytes(gzip.compress(text(RESULT)))
    (source / "sub" / "deep" / "c.json").write_bytes(text(psa("b", "2016-06-01", 2)))
    (source / "manifest.json").write_text('{"transactionTime": "2016-01-01"}')
    (source / ".hidden.ndjson").write_bytes(text(RESULT))
    (source / "readme.txt").write_text("nothing")
    (source / "more.xml").write_text("<Patient/>")
    (source / "odd.data").write_bytes(text(RESULT))
    here = check(spark, source, out)
    monkeypatch.setattr(Storage, "local_path", None)
    config = RunConfig.of(PLAIN, AS_OF)
    found = compute_spark.compute_spark(spark, str(source), str(out / "elsewhere"), config)
    assert joined(out / "elsewhere") == here
    assert found.passed_over == ["earlier/", "manifest.json", "readme.txt"]
    assert found.unreadable == 2
    assert manifest_of(out / "elsewhere")["inputs"] == manifest_of(out / "spark")["inputs"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--engine", "spark", "--workers", "2"], "--workers"),
        (["--engine", "spark", "--memory", "500MB"], "--memory"),
        (["--engine", "spark", "--validate"], "--validate"),
        (["--engine", "spark", "--force"], "--force"),
        (["--engine", "spark", "--bulk", "patient"], "--bulk"),
        (["--engine", "spark", "--dry-run"], "--dry-run"),
        (["--spark-master", "local[2]"], "--engine spark"),
        (["--engine", "flink"], "flink"),
    ],
)
def test_options_that_contradict_each_other(options, named, tmp_path):
    ran = cli("compute", COHORT, tmp_path / "out", *options)
    assert ran.code == 2
    assert named in ran.err


@pytest.mark.parametrize("server", [0, 1])
def test_servers_are_refused(server, tmp_path):
    places = [str(tmp_path / "in"), str(tmp_path / "out")]
    places[server] = "https://fhir.example/r4"
    ran = cli("compute", *places, "--engine", "spark")
    assert ran.code == 2
    assert ("SOURCE", "TARGET")[server] in ran.err


def test_without_pyspark_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    ran = cli("compute", COHORT, tmp_path / "out", "--engine", "spark")
    assert ran.code == 2
    assert "fhircryo[spark]" in ran.err
