"""The number of processes for a source, by its size, the processors and the memory."""

import os

import pytest

from fhircryo.runs import processes, workload
from fhircryo.runs.workload import workers_for


@pytest.fixture
def source(tmp_path):
    """A folder with a sparse file of 200 MB."""
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
def test_the_number_of_processes_is_limited_by_processors_size_and_memory(
    processors, memory, workers, source, monkeypatch
):
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    monkeypatch.setattr(workload, "available_memory", lambda: memory)
    assert workers_for(str(source)) == (workers if processes.CAN_FORK else 1)


@pytest.mark.parametrize(("limit", "workers"), [(100, 1), (500, 1), (1000, 3), (9000, 4)])
def test_a_limit_of_the_memory_limits_the_processes(limit, workers, source, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(workload, "available_memory", lambda: 1)
    found = workers_for(str(source), limit << 20)
    assert found == (workers if processes.CAN_FORK else 1)


def test_compressed_files_count_with_their_estimated_size(source, monkeypatch):
    (source / "Observation.ndjson").rename(source / "Observation.ndjson.gz")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(workload, "available_memory", lambda: 3 << 30)
    assert workers_for(str(source)) == 1


def test_the_memory_limit_of_a_container_applies_if_it_is_lower(tmp_path, monkeypatch):
    machine, container = tmp_path / "meminfo", tmp_path / "memory.max"
    machine.write_text("MemTotal: 9 kB\nMemAvailable: 4096 kB\n")
    monkeypatch.setattr(processes, "_MEMINFO", machine)
    monkeypatch.setattr(processes, "_CONTAINER_LIMIT", container)
    assert processes.available_memory() == 4096 * 1024
    container.write_text("max\n")
    assert processes.available_memory() == 4096 * 1024
    container.write_text("1048576\n")
    assert processes.available_memory() == 1048576
    machine.unlink()
    container.unlink()
    assert processes.available_memory() is None


def test_small_folders_and_servers_take_one(tmp_path):
    assert workers_for("https://fhir.hospital.example/r4") == 1
    assert workers_for(str(tmp_path)) == 1
