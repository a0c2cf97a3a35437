"""A folder as target: all its files or none, nothing lost, nothing readable by others."""

import itertools
import os
import random
import signal
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fhircryo.errors import TargetError, UsageError
from fhircryo.publish import folder_target
from fhircryo.publish.folder_output import FolderOutputMaker
from fhircryo.publish.folder_target import FILES
from fhircryo.runs import slices, to_folder
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from tests.unit.inputs import cli, compute, folder, lines, procedure, psa, response

# A forked child of a test worker that has threads: it computes, and ends without cleaning up.
pytestmark = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
MOMENTS = ["patient", "join", "device", "manifest", "first sync", "third sync"]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    people = [f"p{number:03}" for number in range(60)]
    files = {
        "Procedure.ndjson": [procedure(f"x-{name}", of=name) for name in people],
        "Observation.ndjson": [
            psa(f"a-{name}-{month}", f"2016-{month:02}-20", month / 10, of=name)
            for name in people
            for month in range(1, 13)
        ],
        "QuestionnaireResponse.ndjson": [
            response(f"r-{name}", "2016-01-01", [1, 2, 3, 4, 5], of=name) for name in people
        ],
    }
    return folder(tmp_path_factory.mktemp("source") / "in", files)


def _contents(path: Path) -> dict[str, bytes]:
    if not path.exists():
        return {}
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _dies_at(number: int, done: Callable[..., Any]) -> Callable[..., Any]:
    """A function that kills its process when it is called for the nth time."""
    calls = itertools.count(1)

    def call(*arguments: Any, **named: Any) -> Any:
        if next(calls) == number:
            _die()
        return done(*arguments, **named)

    return call


def _compute_and_die(moment: str, source: Path, target: Path) -> None:
    if moment == "patient":
        FolderOutputMaker.make = _dies_at(20, FolderOutputMaker.make)
    elif moment == "join":
        slices._join = _dies_at(2, slices._join)
    elif moment == "device":
        to_folder.device = _die
    elif moment == "manifest":
        to_folder.write_manifest = _die
    elif moment == "first sync":
        folder_target._sync = _die
    elif moment == "third sync":
        folder_target._sync = _dies_at(3, folder_target._sync)
    elif moment == "before the exchange":
        folder_target._exchange = _die
    elif moment == "after the exchange":
        folder_target.shutil.rmtree = _die
    to_folder.compute_folder(source, target, RunConfig.of(Settings(), date(2017, 12, 31)))


def _start(moment: str, source: Path, target: Path) -> int:
    """Compute in a process of its own, which kills itself at a moment; its id."""
    child = os.fork()
    if child == 0:
        try:
            _compute_and_die(moment, source, target)
        finally:
            os._exit(0)
    return child


def _wait(child: int) -> int:
    """The exit code of a process; that of one which was killed is the signal's number, negative."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("moment", [*MOMENTS, "before the exchange"])
def test_a_killed_run_leaves_the_target_as_it_was(moment, source, tmp_path):
    target = tmp_path / "out"
    small = folder(tmp_path / "small", {"Procedure.ndjson": [procedure()]})
    compute(small, target)
    before = _contents(target)
    assert _wait(_start(moment, source, target)) == -signal.SIGKILL
    assert _contents(target) == before
    again = compute(source, target)
    assert again.summary.cohort == 60


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_leaves_no_half_target(moment, source, tmp_path):
    target = tmp_path / "out"
    assert _wait(_start(moment, source, target)) == -signal.SIGKILL
    assert not target.exists()
    assert compute(source, target).summary.cohort == 60


def test_a_run_killed_after_the_exchange_has_written_all(source, tmp_path):
    target = tmp_path / "out"
    small = folder(tmp_path / "small", {"Procedure.ndjson": [procedure()]})
    compute(small, target)
    assert _wait(_start("after the exchange", source, target)) == -signal.SIGKILL
    assert _contents(target) == compute(source, tmp_path / "other").files


@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_at_any_time_has_written_all_or_nothing(seed, source, tmp_path):
    target = tmp_path / "out"
    small = folder(tmp_path / "small", {"Procedure.ndjson": [procedure()]})
    before = compute(small, target).files
    begun = time.monotonic()
    after = compute(source, tmp_path / "other").files
    usual = time.monotonic() - begun
    running = _start("never", source, target)
    time.sleep(1.2 * usual * random.Random(seed).random())
    os.kill(running, signal.SIGKILL)
    _wait(running)
    assert _contents(target) in (before, after)


@pytest.mark.parametrize("moment", [*MOMENTS, "never"])
def test_what_a_run_leaves_behind_is_not_readable_by_others(moment, source, tmp_path):
    """Both while it is written and afterwards, with any umask."""
    old = os.umask(0)
    try:
        _wait(_start(moment, source, tmp_path / "out"))
    finally:
        os.umask(old)
    (left,) = tmp_path.iterdir()
    assert left.stat().st_mode & 0o777 == 0o700
    if moment == "never":
        for file in left.iterdir():
            assert file.stat().st_mode & 0o777 == 0o600
        assert {file.name for file in left.iterdir()} == FILES


def test_a_target_open_to_others_is_closed_again(source, tmp_path):
    target = tmp_path / "out"
    compute(source, target)
    target.chmod(0o755)
    (target / "Observation.ndjson").chmod(0o644)
    compute(source, target)
    assert target.stat().st_mode & 0o777 == 0o700
    assert (target / "Observation.ndjson").stat().st_mode & 0o777 == 0o600


# ------------------------------------------------------------------ refused


@pytest.mark.parametrize("name", ["in", "in/", "in/../in", "other/../in", "./in", "link"])
def test_the_source_is_no_target(name, tmp_path):
    source = folder(tmp_path / "in", {"Procedure.ndjson": [procedure()]})
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(source)
    before = _contents(source)
    for force in ([], ["--force"]):
        ran = cli("compute", source, f"{tmp_path}/{name}", *force)
        assert ran.code == 2
        assert "SOURCE" in ran.err
    assert _contents(source) == before


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_holds_the_source_is_no_target(force, tmp_path):
    source = folder(tmp_path / "a" / "b" / "in", {"Procedure.ndjson": [procedure()]})
    with pytest.raises(UsageError, match="holds SOURCE"):
        compute(source, tmp_path / "a", force=force)
    assert _contents(source)


def test_a_folder_within_the_source_is_a_target_and_is_not_read(tmp_path):
    source = folder(tmp_path / "in", {"Procedure.ndjson": [procedure()]})
    first = compute(source, source / "out")
    again = compute(source, source / "out")
    assert again.files["Observation.ndjson"] == first.files["Observation.ndjson"]


OTHERS = {
    "a file": {"notes.txt": b"mine"},
    "a file with a name of ours, without our manifest": {"Observation.ndjson": b"{}"},
    "another manifest": {
        "manifest.json": b'{"transactionTime": "2016"}',
        "Observation.ndjson": b"",
    },
    "a manifest that is not JSON": {"manifest.json": b"{", "Observation.ndjson": b"x"},
    "a manifest that is not an object": {"manifest.json": b"[]"},
    "a hidden file": {".keep": b""},
    "ours and another": {"manifest.json": b'{"fhircryo": "0"}', "notes.txt": b"mine"},
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_target_that_holds_something_else_is_refused(case, source, tmp_path):
    target = folder(tmp_path / "out", OTHERS[case])
    before = _contents(target)
    ran = cli("compute", source, target, "--as-of", "2017-12-31")
    assert ran.code == 2
    assert "--force" in ran.err
    assert _contents(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("case", OTHERS)
def test_force_keeps_what_else_the_target_holds(case, source, tmp_path):
    target = folder(tmp_path / "out", OTHERS[case])
    folder(target / "deep" / "er", {"x.bin": b"\x00"})
    (target / "link").symlink_to("nowhere")
    before = _contents(target)
    done = compute(source, target, force=True)
    after = _contents(target)
    for name, content in before.items():
        if name not in FILES:
            assert after[name] == content
    assert (target / "link").is_symlink()
    for name in FILES:
        assert after[name] == done.files[name]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    # A second run recognises its own files; the other files still require --force.
    with pytest.raises(UsageError):
        compute(source, target)
    assert compute(source, target, force=True).files == done.files


@pytest.mark.parametrize("force", [False, True])
def test_a_file_is_no_target(force, source, tmp_path):
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(UsageError, match="is a file"):
        compute(source, tmp_path / "out", force=force)
    assert (tmp_path / "out").read_bytes() == b"mine"


def test_an_empty_or_earlier_target_is_taken(source, tmp_path):
    (tmp_path / "out").mkdir()
    first = compute(source, tmp_path / "out")
    assert compute(source, tmp_path / "out").files == first.files
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_target_that_is_a_link_stays_one(source, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    compute(source, tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert _contents(tmp_path / "real").keys() == FILES


def test_the_current_folder_is_a_target(source, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    ran = cli("compute", source, ".", "--as-of", "2017-12-31")
    assert ran.code == 0
    assert _contents(tmp_path / "here").keys() == FILES


def test_missing_parents_are_made(source, tmp_path):
    compute(source, tmp_path / "a" / "b" / "out")
    assert _contents(tmp_path / "a" / "b" / "out").keys() == FILES


def test_a_target_that_cannot_be_written(source, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "file" / "out", Path("/proc/nowhere/out")):
        ran = cli("compute", source, target, "--as-of", "2017-12-31")
        assert ran.code == 5
        assert str(target) in ran.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_parent_without_permission(source, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(TargetError, match="cannot be written"):
        compute(source, tmp_path / "closed" / "out")


def test_an_error_while_writing_leaves_nothing(source, tmp_path, monkeypatch):
    from fhircryo.runs import to_folder

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(to_folder, "write_manifest", full)
    with pytest.raises(TargetError, match="No space left"):
        compute(source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_nothing(source, tmp_path, monkeypatch):
    from fhircryo.runs import to_folder

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(to_folder, "write_manifest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compute(source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ what killed runs leave


@pytest.mark.parametrize("existing", [False, True])
def test_what_a_killed_run_left_does_not_disturb(existing, source, tmp_path):
    """In a container every run has the same process id."""
    target = tmp_path / "out"
    if existing:
        compute(source, target)
    for number in (os.getpid(), 1, 99999):
        for ending in ("tmp", "old"):
            left = tmp_path / f".out.{number}.{ending}"
            folder(left, {"Observation.ndjson": lines({"half": "a line"}), "x.ndjson.0": b""})
    done = compute(source, target)
    assert done.summary.cohort == 60
    assert _contents(target).keys() == FILES


def test_where_folders_cannot_be_swapped_in_one_step(source, tmp_path, monkeypatch):
    """Some systems do not have renameat2."""
    from fhircryo.publish import folder_target

    monkeypatch.setattr(folder_target.ctypes, "CDLL", lambda *arguments, **named: object())
    target = folder(tmp_path / "out", {"notes.txt": b"mine"})
    for _ in range(2):
        done = compute(source, target, force=True)
        assert _contents(target) == {**done.files, "notes.txt": b"mine"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
