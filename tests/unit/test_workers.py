"""How many processes share the work: by size, processors and memory."""

import os

import pytest

from fhircryo.cli.workers import workers_for
from fhircryo.runs import processes as parallel


@pytest.fixture
def source(tmp_path):
    """A folder of 200 MB that takes no room."""
    folder = tmp_path / "in"
    folder.mkdir()
    with (folder / "Observation.ndjson").open("wb") as file:
        file.truncate(200 << 20)
    return folder


@pytest.mark.parametrize(
    ("processors", "memory", "workers"),
    [
        (8, 64 << 30, 4),
        (2, 64 << 30, 2),
        (8, 500 << 20, 2),
        (8, 100 << 20, 1),
        (8, None, 4),
    ],
)
def test_as_many_as_are_worth_it_and_fit(processors, memory, workers, source, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    monkeypatch.setattr(parallel, "available_memory", lambda: memory)
    assert workers_for(str(source)) == (workers if parallel.CAN_FORK else 1)


def test_packed_files_are_larger_than_they_look(source, monkeypatch):
    (source / "Observation.ndjson").rename(source / "Observation.ndjson.gz")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(parallel, "available_memory", lambda: 3 << 30)
    assert workers_for(str(source)) == 1


def test_a_container_has_less_than_its_machine(tmp_path, monkeypatch):
    machine, container = tmp_path / "meminfo", tmp_path / "memory.max"
    machine.write_text("MemTotal: 9 kB\nMemAvailable: 4096 kB\n")
    monkeypatch.setattr(parallel, "_MEMORY", machine)
    monkeypatch.setattr(parallel, "_CONTAINER", container)
    assert parallel.available_memory() == 4096 * 1024
    container.write_text("max\n")
    assert parallel.available_memory() == 4096 * 1024
    container.write_text("1048576\n")
    assert parallel.available_memory() == 1048576
    machine.unlink()
    container.unlink()
    assert parallel.available_memory() is None


def test_small_folders_and_servers_take_one(tmp_path):
    assert workers_for("https://fhir.hospital.example/r4") == 1
    assert workers_for(str(tmp_path)) == 1
