"""A disk that is full while files are written: words, exit code 5, and nothing left behind.

The greatest size of a file stands in for the size of the disk: the system ends the write that
reaches it with an error too, wherever in the program or its libraries it is.
"""

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit import inputs
from tests.unit.bulk_server import BulkServer, files_of
from tests.unit.inputs import AS_OF, COHORT, Ran, cli

EVERY_FORMAT = "csv,parquet,redcap,stata,spss"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file can be longer than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """Three patients."""
    resources = []
    for number in range(3):
        who = f"p{number}"
        resources += [
            inputs.patient(who),
            inputs.procedure(f"x{number}", "2016-01-10", who),
            inputs.psa(f"a{number}", "2016-03-01", 0.4, who),
            inputs.psa(f"b{number}", "2016-12-10", 3.5, who),
        ]
    return inputs.folder(tmp_path_factory.mktemp("few") / "in", {"all.ndjson": resources})


def ended_well(ran: Ran, place: Path, left: list[str]) -> None:
    assert ran.code == 5, ran.err
    assert "cannot be written" in ran.err
    assert "Traceback" not in ran.err
    assert sorted(entry.name for entry in place.iterdir()) == left


#: What a full disk ends at other places: the first table, a later one, a file of another library.
SIZES = [10, 1000, 4000, 20_000]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "command", [["compute"], ["cohort", "--format", EVERY_FORMAT, "--no-report"], ["review"]]
)
def test_nothing_is_left_of_a_new_folder(command, size, few, tmp_path):
    source, place = shutil.copytree(few, tmp_path / "in"), tmp_path / "place"
    place.mkdir()
    name, *options = command
    with files_of_at_most(size):
        ran = cli(name, source, place / "out", *options, "--as-of", AS_OF)
    ended_well(ran, place, [])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stata", "spss"])
def test_files_for_stata_and_spss(kind, few, tmp_path):
    """Their library says that it cannot write, and not why."""
    options = ("--format", kind, "--no-report", "--as-of", AS_OF)
    place = tmp_path / "place"
    place.mkdir()
    with files_of_at_most(4000):
        ended_well(cli("cohort", few, place / "out", *options), place, [])


@pytest.mark.slow
def test_what_was_there_stays(few, tmp_path):
    out = tmp_path / "place" / "out"
    options = (out, "--as-of", AS_OF, "--no-report", "--format", "csv")
    assert cli("cohort", few, *options).code == 0
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with files_of_at_most(1000):
        ended_well(cli("cohort", few, *options), tmp_path / "place", ["out", "out.key"])
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_no_room_for_the_report(few, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    with files_of_at_most(60_000):
        ended_well(cli("cohort", few, place / "out", "--as-of", AS_OF), place, [])


def test_no_room_for_the_key(few, tmp_path, monkeypatch):
    place = tmp_path / "place"
    place.mkdir()
    options = ("--as-of", AS_OF, "--no-report", "--key", tmp_path / "keys" / "cohort.key")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fhircryo.research.pseudonyms.write_new", full)
    ran = cli("cohort", few, place / "out", *options)
    ended_well(ran, place, [])
    assert "the key cannot be written: No space left on device" in ran.err


@pytest.mark.slow
def test_pool(tmp_path):
    sites = [tmp_path / name for name in ("a", "b")]
    for site in sites:
        options = ("--as-of", AS_OF, "--no-report", "--format", "parquet")
        assert cli("cohort", COHORT, site, *options).code == 0
    place = tmp_path / "place"
    place.mkdir()
    for size in (1000, 60_000):
        with files_of_at_most(size):
            ended_well(cli("pool", *sites, place / "out"), place, [])


def test_export_keeps_nothing_half_written(few, tmp_path, monkeypatch):
    """What was fetched whole is kept in the work folder, as after any interruption."""
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
    place = tmp_path / "place"
    place.mkdir()
    resources = [inputs.patient(f"p{number}") for number in range(300)]
    with BulkServer(files_of(resources)) as bulk, files_of_at_most(4000):
        ran = cli("export", bulk.url, place / "out")
    assert ran.code == 5, ran.err
    assert "cannot be written" in ran.err
    assert not (place / "out").exists()
    assert {entry.name for entry in place.iterdir()} <= {"out.work"}
