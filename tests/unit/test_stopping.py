"""Signals that ask a command to stop: it ends with 7, says so, and leaves nothing half-written."""

import contextlib
import json
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.generate import generate
from tests.unit import inputs
from tests.unit.bulk_server import BulkServer
from tests.unit.hospital import Reply
from tests.unit.started import Started, started
from tests.unit.stub_fhir import StubFhir

pytestmark = pytest.mark.slow

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: How often each command is stopped at a random moment.
TIMES = int(os.environ.get("TEST_STOPS", "2"))
AS_OF = ("--as-of", "2018-01-01")


def check_stopped(command: Started, number: int) -> None:
    code, err = command.end()
    assert code == 7, err
    assert f"stopped by {signal.Signals(number).name}. " in err.splitlines()[-1]
    assert "Traceback" not in err
    assert "ignored" not in err
    assert not command.has_left_processes()


def content(folder: Path) -> dict[str, bytes]:
    """The files of a folder; the manifest without what differs from run to run."""
    return {
        path.name: re.sub(rb'"(started|computed|date|created)[^,]*', b"", path.read_bytes())
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


# ------------------------------------------------------------------ random moments


@pytest.fixture(autouse=True)
def _as_in_a_terminal() -> Iterator[None]:
    """Signals that these tests inherited as ignored, as from nohup, are not ignored by commands."""
    ignored = [one for one in SIGNALS if signal.getsignal(one) is signal.SIG_IGN]
    for one in ignored:
        signal.signal(one, signal.SIG_DFL)
    yield
    for one in ignored:
        signal.signal(one, signal.SIG_IGN)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort that several processes share."""
    folder = tmp_path_factory.mktemp("large")
    generate(folder, 420)
    return folder


def stop_at_random(folder: Path, seed: int, *arguments: object) -> None:
    """Stop a command that writes the folder ``out`` at random moments of its course."""
    chance = random.Random(seed)
    begun = time.monotonic()
    with started(folder, *arguments) as command:
        code, err = command.end()
        assert code == 0, err
    lasts = time.monotonic() - begun
    written = content(folder / "out")
    names = {path.name for path in folder.iterdir()}
    codes = []
    for _ in range(TIMES):
        number = chance.choice(SIGNALS)
        with started(folder, *arguments) as command:
            time.sleep(chance.uniform(0, 0.8 * lasts))
            command.send(number)
            code, err = command.end()
            assert "Traceback" not in err
            assert "ignored" not in err
            assert (code == 7) == (f"stopped by {signal.Signals(number).name}. " in err)
            assert not command.has_left_processes()
        codes.append(code)
        assert {path.name for path in folder.iterdir()} == names
        assert content(folder / "out") == written
    # A command that was quicker than before has ended as usual.
    assert set(codes) <= {0, 7}
    assert 7 in codes


def test_a_computation_by_several_processes_at_random_moments(large, tmp_path):
    stop_at_random(tmp_path, 1, "compute", large, "out", "--force", *AS_OF, "--workers", "3")


def test_a_cohort_by_several_processes_at_random_moments(large, tmp_path):
    arguments = ("--format", "csv", "--workers", "3")
    stop_at_random(tmp_path, 2, "cohort", large, "out", *AS_OF, *arguments)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda one: one.name)
@pytest.mark.parametrize("command", ["doctor", "explain", "mappings survey", "demo"])
def test_a_command_that_only_reads(command, number, large, tmp_path):
    arguments = {
        "doctor": ("doctor", large),
        "explain": ("explain", large, "p1"),
        "mappings survey": ("mappings", "survey", large),
        "demo": ("demo",),
    }[command]
    for seconds in (0, 0.1, 0.2):  # while the modules are imported, or a little later
        with started(tmp_path, *arguments) as process:
            time.sleep(seconds)
            process.send(number)
            check_stopped(process, number)
    assert list(tmp_path.iterdir()) == []


def test_processes_end_with_one_that_is_killed(large, tmp_path):
    """Nobody can handle SIGKILL, but the system tells the children."""
    arguments = ("compute", large, "out", *AS_OF, "--workers", "3")
    with started(tmp_path, *arguments) as command:
        until(lambda: number_of_children(command.process.pid) >= 2)
        command.send(signal.SIGKILL)
        command.end()
        assert not command.has_left_processes()
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ ignored and lost signals


@pytest.mark.parametrize("number", SIGNALS, ids=lambda one: one.name)
def test_a_signal_that_is_ignored_at_the_start_stays_ignored(number, tmp_path):
    """``nohup`` ignores SIGHUP; a shell script starts its background jobs with SIGINT ignored."""
    before = f"import signal; signal.signal({int(number)}, signal.SIG_IGN)\n"
    with started(tmp_path, "demo", before=before) as command:
        command.send(number)
        assert command.end() == (0, "")


#: A command that loses the exception, as a finalizer or a callback of a C library does.
_LOSES_IT = """
import signal, sqlite3, time
import fhircryo.cli.main as main
class Loses:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
def in_finalizer():
    Loses()
    time.sleep(30)
    raise SystemExit(0)
def in_callback():
    connection = sqlite3.connect(":memory:")
    connection.create_function("f", 0, lambda: signal.raise_signal(signal.SIGTERM))
    try:
        connection.execute("select f()")
    except sqlite3.Error:
        pass
    raise SystemExit(0)
def in_except():
    try:
        signal.raise_signal(signal.SIGTERM)
    except BaseException:
        pass
    raise SystemExit(0)
"""


@pytest.mark.parametrize("where", ["in_finalizer", "in_callback", "in_except"])
def test_a_lost_interrupt_ends_the_command_with_7_all_the_same(where, tmp_path):
    with started(tmp_path, "demo", before=f"{_LOSES_IT}\nmain.app = {where}\n") as command:
        begun = time.monotonic()
        check_stopped(command, signal.SIGTERM)
    assert time.monotonic() - begun < 20


_HELD = """
import time
import fhircryo.cli.main as main
from fhircryo.interrupts import held
def app():
    with held():
        print("held", flush=True)
        time.sleep(60)
main.app = app
"""


def test_a_second_signal_ends_the_command_at_once(tmp_path):
    with started(tmp_path, "demo", before=_HELD) as command:
        assert command.process.stdout is not None
        assert command.process.stdout.readline() == "held\n"
        command.send(signal.SIGTERM)
        command.send(signal.SIGTERM)  # ``timeout`` sends it to the process and to its group
        time.sleep(1.5)
        assert command.process.poll() is None
        command.send(signal.SIGINT)
        code, err = command.end(10)
    assert (code, err) == (7, "fhircryo: a second signal: ended at once\n")


# ------------------------------------------------------------------ servers


class Hanging(StubFhir):
    """Says what it is, and then answers no search."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def _search(self, kind: str, query: dict[str, str]) -> Reply:
        self.released.wait(60)
        return Reply(500)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda one: one.name)
@pytest.mark.parametrize("command", ["compute", "cohort", "sync", "doctor"])
def test_a_search_that_hangs(command, number, tmp_path):
    with Hanging() as server:
        arguments = {"sync": (), "doctor": (server.base,)}.get(command, (server.base, "out"))
        settings = {"FHIRCRYO_SYNC__SOURCE": server.base}
        with started(tmp_path, command, *arguments, **settings) as process:
            until(lambda: any("_search" in one.path for one in server.seen))
            begun = time.monotonic()
            process.send(number)
            check_stopped(process, number)
            assert time.monotonic() - begun < 15
        server.released.set()
    assert not (tmp_path / "out").exists()
    if command == "sync":  # before anything was read or written
        message = status_in(tmp_path)["message"]
        assert message.startswith(f"stopped by {number.name} before anything was written. ")
        assert "begins from the start" in message


@pytest.mark.parametrize("command", ["compute", "cohort", "export", "sync"])
def test_a_bulk_export_at_random_moments(command, tmp_path):
    """The export is cancelled on the server, at whatever moment the signal arrives."""
    chance = random.Random(command)
    files = {"Patient": inputs.lines(inputs.patient("p1"))}
    for _ in range(TIMES):
        with BulkServer(files, pending=10_000, retry_after="1") as server:
            settings = {"FHIRCRYO_SYNC__SOURCE": server.url, "FHIRCRYO_SYNC__BULK": "system"}
            arguments = () if command == "sync" else (server.url, "out", "--bulk", "system")
            number = chance.choice(SIGNALS)
            with started(tmp_path, command, *arguments, **settings) as process:
                until(lambda: server.seen)
                time.sleep(chance.uniform(0, 0.5))
                process.send(number)
                check_stopped(process, number)
            assert len(server.asked("/status/1", "DELETE")) == server.exports
        assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ scheduled runs


def record(number: int, value: float) -> list[inputs.Resource]:
    """A patient whose endpoints depend on a value."""
    name = f"p{number}"
    return [
        inputs.patient(name),
        inputs.procedure(f"{name}-x", "2016-01-10", of=name),
        inputs.psa(f"{name}-a", "2016-03-01", 0.4, of=name),
        inputs.psa(f"{name}-b", "2017-03-01", value, of=name),
    ]


class Transacting(StubFhir):
    """Calls a function at each transaction that writes; takes a moment, as real servers do.

    A transaction without entries only tries whether the server carries out transactions.
    """

    at_transaction: Callable[[int], None] = staticmethod(lambda _: None)
    transactions = 0

    def _transaction(self, sent: inputs.Resource) -> Reply:
        reply = super()._transaction(sent)
        if not sent.get("entry"):
            return reply
        self.transactions += 1
        self.at_transaction(self.transactions)
        time.sleep(0.05)
        return reply


@pytest.fixture
def servers() -> Iterator[tuple[StubFhir, Transacting]]:
    with StubFhir() as source, Transacting() as target:
        for number in range(12):
            source.put(*record(number, 0.5))
        yield source, target


def settings_of(folder: Path, source: StubFhir, target: StubFhir) -> Path:
    file = folder / "fhircryo.toml"
    file.write_text(
        f'state_folder = "{folder / "state"}"\n[sync]\nsource = "{source.base}"\n'
        f'target = "{target.base}"\nmetrics_file = "{folder / "metrics.prom"}"\n'
        "[write]\nbundle_size = 1\n"
    )
    return file


def run_to_end(folder: Path, *arguments: object) -> int:
    with started(folder, *arguments) as command:
        return command.end()[0]


def status_in(folder: Path) -> dict[str, Any]:
    (file,) = (folder / "state").glob("*.status.json")
    return json.loads(file.read_text())


def metrics_in(folder: Path) -> dict[str, str]:
    lines = (folder / "metrics.prom").read_text().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def published(target: StubFhir) -> dict[str, Any]:
    """The endpoints of a target, without what tells one write from another.

    The status does: an endpoint that was final and is changed is amended, and one that is written
    for the first time is not.
    """
    history = ("meta", "issued", "status")
    return {
        one["id"]: {name: value for name, value in one.items() if name not in history}
        for one in target.of_type("Observation")
    }


@pytest.mark.parametrize("number", SIGNALS, ids=lambda one: one.name)
def test_a_scheduled_run_that_is_stopped_half_way(number, servers, tmp_path):
    source, target = servers
    run = ("sync", "--config", settings_of(tmp_path, source, target))
    assert run_to_end(tmp_path, *run) == 0
    success = status_in(tmp_path)["last_success"]
    succeeded = metrics_in(tmp_path)["fhircryo_sync_last_success_timestamp_seconds"]
    before = target.transactions
    for patient in range(12):
        source.put(*record(patient, 3.5))
    with started(tmp_path, *run) as command:
        target.at_transaction = lambda so_far: so_far == before + 4 and command.send(number)
        check_stopped(command, number)
    written = target.transactions - before
    assert 4 <= written < 12  # the one in hand is completed, and no other begins
    status = status_in(tmp_path)
    assert (status["exit_code"], status["stopped"]) == (7, True)
    assert status["message"].startswith(f"stopped by {number.name}. ")
    assert "the next run" in status["message"]
    assert sum(status["endpoints"].values()) > 0
    assert status["last_success"] == success
    metrics = metrics_in(tmp_path)
    assert metrics["fhircryo_sync_last_run_exit_code"] == "7"
    assert metrics["fhircryo_sync_last_run_stopped"] == "1"
    assert metrics["fhircryo_sync_last_success_timestamp_seconds"] == succeeded
    assert run_to_end(tmp_path, *run, "--status") == 7

    target.at_transaction = lambda _: None
    assert run_to_end(tmp_path, *run) == 0
    assert target.transactions - before - written == 12 - written  # no patient is written again
    assert status_in(tmp_path)["stopped"] is False
    assert metrics_in(tmp_path)["fhircryo_sync_last_run_stopped"] == "0"


def test_scheduled_runs_at_random_moments(servers, tmp_path):
    """Whenever runs are stopped, the last one leaves what an undisturbed one would have written."""
    source, target = servers
    run = ("sync", "--config", settings_of(tmp_path, source, target))
    begun = time.monotonic()
    assert run_to_end(tmp_path, *run) == 0
    lasts = time.monotonic() - begun
    chance = random.Random(5)
    codes = []
    for _ in range(2 * TIMES):
        for patient in range(12):
            source.put(*record(patient, chance.choice((0.5, 3.5))))
        number = chance.choice(SIGNALS)
        with started(tmp_path, *run) as command:
            time.sleep(chance.uniform(0, lasts))
            command.send(number)
            code, err = command.end()
        assert (code == 7) == (f"stopped by {number.name}. " in err), err
        assert "Traceback" not in err
        codes.append(code)
        if (code, target.transactions) != (7, 0):
            assert status_in(tmp_path)["exit_code"] in (0, 7)
    assert set(codes) <= {0, 7}
    assert 7 in codes
    assert run_to_end(tmp_path, *run) == 0
    with Transacting() as undisturbed:
        (tmp_path / "other").mkdir()
        other = settings_of(tmp_path / "other", source, undisturbed)
        assert run_to_end(tmp_path / "other", "sync", "--config", other) == 0
        assert published(target) == published(undisturbed)
    assert not list(tmp_path.rglob("*.tmp"))


# ------------------------------------------------------------------ helpers


def number_of_children(process: int) -> int:
    found = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found += stat.read_text().rpartition(")")[2].split()[1] == str(process)
    return found


def until(holds) -> None:
    """Wait until a condition holds."""
    for _ in range(9000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never held")
