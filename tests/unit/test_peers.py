"""The comparison with other tools: other rows are found, and what cannot be run is a line.

The readers that are installed for the tests anyway run here; the others only with ``make
bench-peers``.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from benchmarks import (
    pathling_library,
    peer_folder,
    peer_page,
    peer_process,
    peer_rows,
    processor_time,
    replay,
)
from benchmarks import peers as bench
from benchmarks.peer_process import NotRun, Order, Result

ROOT = Path(__file__).resolve().parents[2]
BASE = "http://recorded.example/fhir"
LIMIT = 120.0


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("peers")
    return bench.psa_folders(root, 4)


@pytest.fixture(scope="module")
def ours(folders, tmp_path_factory):
    """The order of fhircryo, done."""
    done = order(folders, tmp_path_factory.mktemp("ours"))
    found = peer_process.measured(done, LIMIT)
    assert found.rows == 4 * 12
    assert found.start > 0
    assert all(seconds > 0 for seconds in found.passes)
    assert set(found.versions) == {"fhircryo"}
    return done


def order(folders, into: Path, peer: str = "fhircryo") -> Order:
    everything, few = folders
    return Order("folder", peer, str(everything), str(few), str(into))


def changed(folder: Path, into: Path, change) -> Path:
    """The same Observations, but for one of them."""
    lines = (folder / "Observation.ndjson").read_text(encoding="utf-8").splitlines()
    resource = json.loads(lines[5])
    change(resource)
    lines[5] = json.dumps(resource)
    return bench.write_lines(into, [f"{line}\n" for line in lines])


def test_rows_are_the_same_whatever_the_types(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    peer_rows.write_rows(
        one, [("Patient/b", date(2015, 1, 2), Decimal("7.70"), "ng/mL"), ("a", "2015", 100, "ug/L")]
    )
    peer_rows.write_rows(
        two, [("a", "2015", 100.0, "ug/L"), ("b", "2015-01-02T08:00:00+01:00", 7.7, "ng/mL")]
    )
    assert peer_rows.difference(one, two) == ""
    assert one.read_text(encoding="utf-8").splitlines()[1] == "b\t2015-01-02\t7.7\tng/mL"


@pytest.mark.parametrize(
    "other",
    [
        [("a", "2015-01-02", 7.71, "ng/mL")],
        [("a", "2015-01-03", 7.7, "ng/mL")],
        [("b", "2015-01-02", 7.7, "ng/mL")],
        [("a", "2015-01-02", 7.7, "ug/L")],
        [],
        [("a", "2015-01-02", 7.7, "ng/mL")] * 2,
    ],
)
def test_another_row_is_found(other, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    peer_rows.write_rows(one, [("a", "2015-01-02", 7.7, "ng/mL")])
    peer_rows.write_rows(two, other)
    assert "rows are missing" in peer_rows.difference(one, two)


@pytest.mark.slow
def test_readers_agree(folders, ours, tmp_path):
    names = ("pandas + json", "fhir.resources")
    orders = {name: order(folders, tmp_path / name[:4], name) for name in names}
    results = bench.run_rounds(orders, ours.rows, 1)
    assert [(one.name, one.problem, len(one.rounds)) for one in results] == [
        (name, "", 1) for name in names
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["valueQuantity"].update(value=0.123),
        lambda one: one.update(effectiveDateTime="2001-01-01"),
        lambda one: one["subject"].update(reference="Patient/x"),
    ],
)
def test_a_reader_that_gives_other_rows_has_no_figure(change, folders, ours, tmp_path):
    everything, few = folders
    other = (changed(everything, tmp_path / "other", change), few)
    (result,) = bench.run_rounds(
        {"pandas + json": order(other, tmp_path / "pandas", "pandas + json")}, ours.rows, 2
    )
    assert result.wrong
    assert not result.rounds
    assert result.problem.startswith("other rows: 1 of 48 rows are missing, 1 are others")
    assert "other rows" in peer_page.folder_block([result])


@pytest.mark.slow
def test_a_reader_that_is_not_installed_is_a_line(folders, tmp_path, monkeypatch):
    # Whether it is installed here or not: importing it fails.
    (tmp_path / "duckdb.py").write_text("raise ModuleNotFoundError(\"No module named 'duckdb'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    orders = {"duckdb": order(folders, tmp_path / "duckdb", "duckdb")}
    (result,) = bench.run_rounds(orders, tmp_path / "none", 2)
    assert "duckdb" in result.problem
    assert result.problem.startswith("not run: ")
    assert not result.wrong
    assert f"| duckdb |  |  |  |  |  | {result.problem} |" in peer_page.folder_block([result])


@pytest.mark.slow
def test_a_reader_that_takes_too_long_is_a_line(folders, tmp_path):
    with pytest.raises(NotRun, match="not finished after 0 s"):
        peer_process.measured(order(folders, tmp_path / "ours"), 0.01)


def test_pathling_without_maven_is_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(pathling_library, "version", lambda _: "9.4.0")
    monkeypatch.setattr(pathling_library, "FOLDER", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(pathling_library.LibraryUnavailable, match="Maven is not installed"):
        pathling_library.fetch()


def test_pathling_without_its_environment_is_a_line(folders, tmp_path, monkeypatch):
    pathling = replace(peer_folder.BY_NAME["Pathling"], python=tmp_path / "none")
    monkeypatch.setitem(peer_folder.BY_NAME, "Pathling", pathling)
    (result,) = bench.run_rounds(
        {"Pathling": order(folders, tmp_path, "Pathling")}, tmp_path / "none", 1
    )
    assert result.problem == "not run: not installed: its environment"


def test_a_library_that_was_fetched_is_not_fetched_again(tmp_path, monkeypatch):
    monkeypatch.setattr(pathling_library, "version", lambda _: "9.4.0")
    monkeypatch.setattr(pathling_library, "FOLDER", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    pathling_library.jar().touch()
    pathling_library.fetch()


@pytest.mark.parametrize(
    "said, line",
    [
        ("", "it failed without a word"),
        ("Traceback\n  File x\nValueError: no | here\n", "ValueError: no / here"),
        ("a.b.SomeError: why\n  at java.x\nProcess ended\n", "a.b.SomeError: why"),
        ("OSError: /some/folder/of/mine/file.jar is not there", "OSError: file.jar is not there"),
    ],
)
def test_a_failure_is_one_line_without_folders(said, line):
    assert peer_process.short(said) == line


def test_a_table_is_replaced_in_its_place(tmp_path):
    page = tmp_path / "page.md"
    text = "# Page\n\n<!-- folder: made by `make bench-peers` -->\n<!-- end of folder -->\n\nEnd.\n"
    page.write_text(text, encoding="utf-8")
    for table in ("| one |", "| two \\1 |"):
        peer_page.replace(page, "folder", table)
    found = page.read_text(encoding="utf-8")
    assert "one" not in found
    assert "\n\n| two \\1 |\n\n<!-- end of folder -->\n\nEnd.\n" in found
    with pytest.raises(ValueError, match="no place for server"):
        peer_page.replace(page, "server", "| three |")


def test_a_result_is_a_median_with_its_spread():
    rounds = [
        peer_process.Measured(10, 1.0, [seconds / 1e5], {"duckdb": "1"}) for seconds in (3, 9, 4)
    ]
    block = peer_page.folder_block([Result("duckdb", rounds)])
    assert "| duckdb | 1 | 4.0 | 3.0 to 9.0 | 1.0 | 1.0 |" in block
    assert "medians of 3 rounds" in block


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="descendants are seen on Linux")
def test_processor_time_of_children_counts_while_they_live_and_after():
    work = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
    before = processor_time.seconds()
    with subprocess.Popen(
        [sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        living = processor_time.seconds() - before
        child.stdin.write(b"\n")
    ended = processor_time.seconds() - before
    assert 0.45 < living < 5
    assert living - 0.05 < ended < living + 1
    assert os.times().children_user > 0


@pytest.mark.slow
@pytest.mark.parametrize("client", ["fhircryo", "requests + json"])
def test_clients_give_the_rows_of_all_pages(client, folders, ours, tmp_path):
    """On recorded pages: a server that gives them at once."""
    everything, few = folders
    lines = (everything / "Observation.ndjson").read_text(encoding="utf-8").splitlines()
    with replay.replayed(BASE, pages_of([json.loads(line) for line in lines])) as url:
        asked = Order("server", client, url, str(few), str(tmp_path / "client"), bench.QUERY)
        (result,) = bench.run_rounds({client: asked}, ours.rows, 1)
    assert result.problem == ""
    (found,) = result.rounds
    assert found.rows == 48
    assert 0 < found.first < found.wall
    assert f"| {client} |" in peer_page.server_block([result])


def pages_of(resources: list[dict]) -> dict[str, bytes]:
    """A searchset of two pages, as the replaying server wants them."""
    half = len(resources) // 2
    second = f"{BASE}/Observation/next"
    page = {"resourceType": "Bundle", "type": "searchset"}
    entries = [
        [{"resource": one, "search": {"mode": "match"}} for one in part]
        for part in (resources[:half], resources[half:])
    ]
    links = [{"relation": "self", "url": BASE}], [{"relation": "next", "url": second}]
    return {
        replay.FIRST: json.dumps(page | {"entry": entries[0], "link": links[1]}).encode(),
        "/fhir/Observation/next": json.dumps(
            page | {"entry": entries[1], "link": links[0]}
        ).encode(),
    }


def test_peers_are_installed_only_when_asked_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = {"bench", "peers", "pathling"}
    assert groups <= set(project["dependency-groups"])
    assert not groups & set(project["tool"]["uv"]["default-groups"])
