"""Bulk export as a source: what servers do, and what must not happen."""

import _thread
import gzip
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhircryo.errors import SourceError
from fhircryo.fhir.bulk.export_manifest import read_manifest
from fhircryo.fhir.capability import Capabilities
from fhircryo.mapping.load import load_mappings
from fhircryo.sources.bulk_source import asked_for
from tests.unit import inputs
from tests.unit.bulk_server import TIME, BulkServer, files_of
from tests.unit.inputs import AS_OF, Ran, cli

RESOURCES = [
    inputs.patient("p1"),
    inputs.procedure("x1", "2016-01-10"),
    inputs.psa("a1", "2016-03-01", 0.4),
    inputs.psa("a2", "2016-12-10", 0.5),
    inputs.psa("a3", "2017-03-01", 3.5),
    inputs.condition("c1", "2017-06-01"),
    inputs.adverse_event("e1", "2016-02-01"),
    inputs.response("q1", "2016-01-02", [4, 4, 4, 4, 4]),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FHIRCRYO_SOURCE__RETRY_BUDGET", "3")
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, bytes]:
    """What computing a folder of the same gives."""
    source = inputs.folder(tmp_path / "folder", {"all.ndjson": RESOURCES})
    return inputs.compute(source, tmp_path / "expected").files


def server(**how: object) -> BulkServer:
    return BulkServer(files_of(RESOURCES), **how)


def compute(bulk: BulkServer, target: Path, *options: object, level: str = "system") -> Ran:
    return cli("compute", bulk.url, target, "--as-of", AS_OF, "--bulk", level, *options)


def same(target: Path, expected: dict[str, bytes]) -> bool:
    names = ("Observation.ndjson", "Provenance.ndjson", "issues.ndjson")
    return all((target / name).read_bytes() == expected[name] for name in names)


def test_an_export_gives_what_a_folder_gives(expected, tmp_path):
    with server(pending=2) as bulk:
        ran = compute(bulk, tmp_path / "out")
    assert ran.code == 0, ran.err
    assert same(tmp_path / "out", expected)
    (asked,) = bulk.asked("/$export")
    assert asked.headers["prefer"] == "respond-async"
    types = asked.query["_type"][0].split(",")
    assert {"Patient", "Procedure", "Observation", "Medication"} <= set(types)
    assert "Observation?combo-code=" in asked.query["_typeFilter"][0]
    assert "2857-1" in asked.query["_typeFilter"][0]
    assert len(bulk.asked("/status/1")) == 3
    # It is told that its files are not needed any more, and nothing stays here.
    assert len(bulk.asked("/status/1", "DELETE")) == 1
    assert not (tmp_path / "out.work").exists()


@pytest.mark.parametrize(
    ("level", "path"), [("patient", "/Patient/$export"), ("Group/g1", "/Group/g1/$export")]
)
def test_levels(level, path, expected, tmp_path):
    with server() as bulk:
        ran = compute(bulk, tmp_path / "out", level=level)
    assert ran.code == 0, ran.err
    assert len(bulk.asked(path)) == 1
    assert len(bulk.asked("/metadata")) == 1
    assert same(tmp_path / "out", expected)


def test_what_a_server_does_not_take_is_left_out(expected, tmp_path):
    """Filters first, then types that are of no patient."""
    with server(refuses=("_typeFilter",)) as bulk:
        assert compute(bulk, tmp_path / "one").code == 0
    assert len(bulk.asked("/$export")) == 2
    assert same(tmp_path / "one", expected)
    with server(refuses=("Medication,", ',Medication"')) as bulk:
        assert compute(bulk, tmp_path / "two", level="patient").code == 0
    kinds = bulk.asked("/Patient/$export")[-1].query["_type"][0].split(",")
    assert "Medication" not in kinds
    assert "MedicationRequest" in kinds
    with server(refuses=("_type",)) as bulk:
        ran = compute(bulk, tmp_path / "three")
    assert (ran.code, "does this server export" in ran.err) == (3, True)


def test_the_server_says_how_long_to_wait(monkeypatch, tmp_path):
    waited: list[float] = []
    monkeypatch.setattr("fhircryo.fhir.bulk.export_job.time.sleep", waited.append)
    with server(pending=2, retry_after="7") as bulk:
        assert compute(bulk, tmp_path / "out").code == 0
    assert waited == [7.0, 7.0]


def test_patience_has_an_end(monkeypatch, tmp_path):
    monkeypatch.setenv("FHIRCRYO_SOURCE__BULK_PATIENCE", "5")
    with server(pending=2, retry_after="7") as bulk:
        ran = compute(bulk, tmp_path / "out")
        assert (ran.code, "bulk_patience" in ran.err) == (3, True)
        # The export goes on without us, and is picked up.
        bulk.retry_after = "0"
        assert compute(bulk, tmp_path / "out").code == 0
    assert bulk.exports == 1


@pytest.mark.parametrize("etag", ['"1"', None], ids=["known", "not known"])
@pytest.mark.parametrize("encoded", [False, True])
def test_a_download_that_breaks_goes_on(etag, encoded, expected, tmp_path):
    with server(broken=2, etag=etag, encoded=encoded) as bulk:
        ran = compute(bulk, tmp_path / "out")
    assert ran.code == 0, ran.err
    assert same(tmp_path / "out", expected)
    resumed = [one for one in bulk.asked("/file/") if "range" in one.headers]
    assert bool(resumed) == (etag is not None)


def test_files_may_be_packed(expected, tmp_path):
    packed = {kind: gzip.compress(content) for kind, content in files_of(RESOURCES).items()}
    with BulkServer(packed, counts={"Observation": 3}) as bulk:
        assert compute(bulk, tmp_path / "out").code == 0
    assert same(tmp_path / "out", expected)


def test_a_file_with_less_than_the_manifest_says_is_never_the_whole(tmp_path):
    with server(counts={"Observation": 4}) as bulk:
        ran = compute(bulk, tmp_path / "out")
    assert ran.code == 3
    assert "manifest states 4 Observation in a file, but the file contains 3" in ran.err
    assert not (tmp_path / "out").exists()


def test_types_of_which_there_is_nothing_may_have_a_file(expected, tmp_path):
    empty = {"Medication": b"", "MedicationRequest": gzip.compress(b"\n")}
    with BulkServer({**files_of(RESOURCES), **empty}) as bulk:
        assert compute(bulk, tmp_path / "out").code == 0
    assert same(tmp_path / "out", expected)


def test_a_packed_file_that_is_cut_off_is_refused(tmp_path):
    cut = gzip.compress(files_of(RESOURCES)["Observation"])[:-20]
    with BulkServer({**files_of(RESOURCES), "Observation": cut}, counts={"Observation": 3}) as bulk:
        ran = compute(bulk, tmp_path / "out")
    assert (ran.code, "cannot be decompressed" in ran.err) == (3, True)


TOKEN = "the-token"


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIRCRYO_SOURCE__AUTH", "bearer")
    monkeypatch.setenv("FHIRCRYO_SOURCE__TOKEN_ENV", "A_TOKEN")
    monkeypatch.setenv("A_TOKEN", TOKEN)
    monkeypatch.setenv("FHIRCRYO_SOURCE__HEADERS", '{"X-Gateway-Key": "a-gateway-key"}')


@pytest.mark.parametrize(("requires", "sent"), [(True, True), (None, True), (False, False)])
def test_the_token_goes_where_it_is_wanted(requires, sent, token, tmp_path):
    with server(token=TOKEN, requires_token=requires) as bulk:
        ran = compute(bulk, tmp_path / "out")
    assert ran.code == 0, ran.err
    assert {"authorization" in one.headers for one in bulk.asked("/file/")} == {sent}


def test_files_of_another_never_get_the_token(token, tmp_path):
    with server() as other, server(token=TOKEN, requires_token=True) as bulk:
        bulk.elsewhere = other.url
        ran = compute(bulk, tmp_path / "out")
        assert (ran.code, "another origin that requires the token" in ran.err) == (3, True)
        assert other.seen == []
        bulk.requires_token = False
        assert compute(bulk, tmp_path / "two").code == 0
    assert len(other.asked("/file/")) == len(bulk.files)
    for one in other.seen:
        assert "authorization" not in one.headers
        assert "x-gateway-key" not in one.headers


def test_files_of_another_come_encrypted_or_not_at_all(tmp_path):
    with server(requires_token=False) as bulk:
        bulk.elsewhere = "http://files.hospital.example"
        ran = compute(bulk, tmp_path / "out")
    assert (ran.code, "unencrypted" in ran.err) == (3, True)


def test_what_the_server_could_not_export_is_unreadable(tmp_path):
    errors = inputs.lines(
        {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "shard 7 \x1b[2Jis down"}]}
    )
    with server(errors=errors) as bulk:
        ran = compute(bulk, tmp_path / "out")
    assert ran.code == 4
    issues = (tmp_path / "out" / "issues.ndjson").read_text()
    assert "shard 7 [2Jis down" in issues


@pytest.mark.parametrize("how", ["lost", "gone"])
def test_an_export_that_expired_is_asked_for_again_once(how, expected, tmp_path):
    with server(**{how: 1}) as bulk:
        assert compute(bulk, tmp_path / "out").code == 0
    assert bulk.exports == 2
    assert same(tmp_path / "out", expected)
    with server(**{how: 100}) as bulk:
        ran = compute(bulk, tmp_path / "two")
    assert (ran.code, "twice" in ran.err) == (3, True)
    assert bulk.exports == 2


def test_a_run_that_was_killed_picks_its_export_up(expected, monkeypatch, tmp_path):
    """While the server worked, and while files were downloaded."""

    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    target = tmp_path / "out"
    with server(pending=3) as bulk:
        monkeypatch.setattr("fhircryo.fhir.bulk.exporting.wait_for", lambda *_: kill())
        with pytest.raises(Killed):
            compute(bulk, target)
        monkeypatch.undo()
        quick_again(monkeypatch, tmp_path)
        monkeypatch.setattr("fhircryo.sources.bulk_source.collect_files", lambda *_: kill())
        with pytest.raises(Killed):
            compute(bulk, target)
        downloaded = len(bulk.asked("/file/"))
        assert downloaded == len(bulk.files)
        work = tmp_path / "out.work"
        assert work.stat().st_mode & 0o077 == 0
        assert all(one.stat().st_mode & 0o077 == 0 for one in work.rglob("*"))
        monkeypatch.undo()
        quick_again(monkeypatch, tmp_path)
        assert compute(bulk, target).code == 0
    assert bulk.exports == 1
    assert len(bulk.asked("/file/")) == downloaded
    assert same(target, expected)
    assert not work.exists()


def test_files_of_another_export_are_not_taken_for_this_ones(expected, monkeypatch, tmp_path):
    """Killed after the download; the next run asks for something else."""

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    old = [inputs.patient("p9"), inputs.procedure("x9", "2016-01-10", "p9")]
    with BulkServer(files_of(old)) as bulk:
        monkeypatch.setattr("fhircryo.sources.bulk_source.collect_files", kill)
        with pytest.raises(Killed):
            compute(bulk, tmp_path / "out")
        monkeypatch.undo()
        quick_again(monkeypatch, tmp_path)
        bulk.files = files_of(RESOURCES)
        assert compute(bulk, tmp_path / "out", level="patient").code == 0
    assert bulk.exports == 2
    assert same(tmp_path / "out", expected)


def quick_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FHIRCRYO_SOURCE__RETRY_BUDGET", "3")
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of SIGINT.

    A background job of a shell script is started with SIGINT ignored, and so are the tests in it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_cancels_the_export(tmp_path):
    with server(pending=100, on_poll=_thread.interrupt_main) as bulk:
        ran = compute(bulk, tmp_path / "out")
        assert ran.code != 0
        assert len(bulk.asked("/status/1", "DELETE")) == 1
    assert list(tmp_path.iterdir()) == []


class _Interrupting:
    """Interrupts the process from its finalizer, where Python drops the exception."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_that_python_drops_cancels_the_export(monkeypatch, tmp_path):
    def sleep(_: float) -> None:
        _Interrupting()

    monkeypatch.setattr("fhircryo.fhir.bulk.export_job.time.sleep", sleep)
    with server(pending=1) as bulk:
        ran = compute(bulk, tmp_path / "out")
        assert ran.code != 0
        assert len(bulk.asked("/status/1", "DELETE")) == 1
    assert not (tmp_path / "out").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("interruptible")
def test_a_process_that_ignores_interrupts_goes_on(expected, tmp_path):
    """As a background job of a shell script does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with server(pending=2, on_poll=_thread.interrupt_main) as bulk:
        assert compute(bulk, tmp_path / "out").code == 0
    assert same(tmp_path / "out", expected)


def test_names_from_the_server_lead_nowhere(expected, tmp_path):
    with server(types={"Observation": "../../Observation", "Procedure": "/etc/passwd"}) as bulk:
        assert compute(bulk, tmp_path / "out", "--keep").code == 0
    assert same(tmp_path / "out", expected)
    kept = {one.name for one in (tmp_path / "out.bulk").iterdir()}
    assert all(name.split(".")[0] in {"Other", *bulk.files} for name in kept)
    assert {one.name for one in tmp_path.iterdir()} == {"folder", "expected", "out", "out.bulk"}


def test_a_file_is_not_larger_than_it_may_be(monkeypatch, tmp_path):
    monkeypatch.setattr("fhircryo.fhir.bulk.download._GIGABYTE", 1)
    with server() as bulk:
        ran = compute(bulk, tmp_path / "out")
    assert (ran.code, "max_file_gb" in ran.err) == (3, True)


@pytest.mark.parametrize(
    ("name", "words"), [("_GIGABYTE", "max_file_gb"), ("_MEGABYTE", "max_response_mb")]
)
def test_what_unpacks_to_more_than_is_read_is_refused(name, words, monkeypatch, tmp_path):
    """A bomb: little on the way, and much of it, or all of it one line."""
    monkeypatch.setattr(f"fhircryo.fhir.bulk.exporting.{name}", 1 << 12)
    bomb = gzip.compress(b" " * (4 << 20))
    with BulkServer({**files_of(RESOURCES), "Observation": bomb}) as bulk:
        ran = compute(bulk, tmp_path / "out")
    assert (ran.code, words in ran.err) == (3, True)
    assert not (tmp_path / "out").exists()


def test_files_are_kept_where_that_is_wanted(expected, tmp_path):
    with server() as bulk:
        ran = compute(bulk, tmp_path / "out", "--keep")
        assert ran.code == 0, ran.err
        ran = compute(bulk, tmp_path / "out", "--keep")
        assert (ran.code, "--keep needs this name" in ran.err) == (2, True)
    kept = tmp_path / "out.bulk"
    assert kept.stat().st_mode & 0o077 == 0
    again = cli("compute", kept, tmp_path / "again", "--as-of", AS_OF)
    assert again.code == 0
    assert same(tmp_path / "again", expected)


def test_a_folder_for_people_who_want_one(expected, tmp_path):
    with server() as bulk:
        ran = cli("export", bulk.url, tmp_path / "export")
        assert ran.code == 0, ran.err
        assert f"as of {TIME}" in ran.out
        again = cli("export", bulk.url, tmp_path / "export")
        assert (again.code, "holds something else" in again.err) == (2, True)
    told = json.loads((tmp_path / "export" / "manifest.json").read_text())
    assert (told["at"], told["level"], len(told["files"])) == (TIME, "system", len(bulk.files))
    assert all(one.stat().st_mode & 0o077 == 0 for one in (tmp_path / "export").iterdir())
    assert cli("compute", tmp_path / "export", tmp_path / "out", "--as-of", AS_OF).code == 0
    assert same(tmp_path / "out", expected)


@pytest.mark.slow
def test_a_cohort_by_export(tmp_path):
    with server() as bulk:
        options = ("--as-of", AS_OF, "--bulk", "system", "--no-report")
        ran = cli("cohort", bulk.url, tmp_path / "out", *options)
    assert ran.code == 0, ran.err
    assert "in the cohort                1" in ran.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bulk", "everything"), "one of system, patient and Group/ID"),
        (("--keep",), "--keep is for the files of --bulk"),
    ],
)
def test_what_is_no_export_is_refused(options, words, tmp_path):
    with server() as bulk:
        ran = cli("compute", bulk.url, tmp_path / "out", *options)
    assert (ran.code, words in ran.err) == (2, True)
    ran = cli("compute", inputs.COHORT, tmp_path / "out", "--bulk", "system")
    assert (ran.code, "needs a FHIR server" in ran.err) == (2, True)


def test_codes_with_their_descendants_are_filtered_here_and_not_there():
    known = Capabilities("4.0.1", {}, {}, True, True, True, True)
    asked = asked_for("system", load_mappings(), known, since=TIME)
    assert asked.since == TIME
    assert all(one.startswith("Observation?") for one in asked.filters)


@pytest.mark.parametrize(
    ("content", "at"),
    [
        (b'{"transactionTime": "2026-11-01T03:00:00+01:00"}', "2026-11-01T03:00:00+01:00"),
        (b'{"transactionTime": "last night"}', None),
        (b"{}", None),
    ],
)
def test_a_manifest_whose_time_cannot_be_read_has_none(content, at):
    assert read_manifest(content, "https://fhir.hospital.example/r4").transaction_time == at


@pytest.mark.parametrize("content", [b"", b"[]", b'{"output": [{}]}', b"\xff"])
def test_what_is_no_manifest_is_refused(content):
    with pytest.raises(SourceError, match="not the manifest of an export"):
        read_manifest(content, "https://fhir.hospital.example/r4")
