"""What is remembered of a target: before each request, after each answer, in one private file."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhircryo.errors import UsageError
from fhircryo.publish.known_ids import (
    KnownIds,
    OwedProvenance,
    known_ids_path,
    open_known_ids,
)
from fhircryo.publish.patience import wait_until_found
from fhircryo.publish.retry_budget import RetryBudget

TARGET = "https://fhir.example/r4"
OWED = OwedProvenance("p1", "", None)


@pytest.fixture
def known(tmp_path: Path) -> Iterator[KnownIds]:
    with open_known_ids(TARGET, tmp_path, dry_run=False) as opened:
        yield opened


def test_a_request_is_remembered_until_it_is_answered(known):
    known.sending({"e1": "", "e2": "e2"}, {"e1": OWED, "e2": OWED})
    assert {name: one.id for name, one in known.of().items()} == {"e1": "", "e2": "e2"}
    assert all(one.sent is not None for one in known.of().values())
    known.written({"e1": ("s1", "1")}, provenance=True)
    assert known.of(["e1"])["e1"] == ("s1", "1", None)
    assert known.owed().keys() == {"e2"}


def test_what_was_refused_is_not_taken_for_written(known):
    known.written({"e1": ("s1", "1")})
    known.sending({"e1": "s1", "e2": ""}, {"e1": OWED, "e2": OWED})
    known.not_written(["e1", "e2"], lacked_before=["e1"])
    assert known.of() == {"e1": ("s1", "1", None)}
    assert known.owed().keys() == {"e1"}


def test_an_update_keeps_the_id_that_the_server_gave(known):
    known.written({"e1": ("s1", "1")})
    known.sending({"e1": ""})
    assert known.of()["e1"].id == "s1"


def test_what_is_gone_is_forgotten_with_its_provenance(known):
    known.sending({"e1": "s1"}, {"e1": OWED})
    known.forget(["e1"])
    assert (known.of(), known.owed()) == ({}, {})


def test_another_run_reads_what_a_killed_run_remembered(known, tmp_path):
    known.sending({"e1": ""}, {"e1": OWED})
    with open_known_ids(TARGET, tmp_path, dry_run=False) as other:
        assert other.of().keys() == {"e1"}
        assert other.owed() == {"e1": OWED}


def test_a_dry_run_changes_nothing(known, tmp_path):
    known.written({"e1": ("s1", "1")})
    before = known_ids_path(TARGET, tmp_path).read_bytes()
    with open_known_ids(TARGET, tmp_path, dry_run=True) as copy:
        assert copy.of().keys() == {"e1"}
        copy.forget(["e1"])
    assert known_ids_path(TARGET, tmp_path).read_bytes() == before


def test_a_dry_run_creates_no_file(tmp_path):
    with open_known_ids(TARGET, tmp_path / "none", dry_run=True) as copy:
        assert copy.of() == {}
    assert not (tmp_path / "none").exists()


def test_a_link_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch()
    known_ids_path(TARGET, tmp_path).symlink_to(elsewhere)
    with (
        pytest.raises(UsageError, match="symbolic link"),
        open_known_ids(TARGET, tmp_path, dry_run=False),
    ):
        pass
    assert elsewhere.read_bytes() == b""


def test_a_file_that_cannot_be_written_ends_the_run(tmp_path):
    path = known_ids_path(TARGET, tmp_path)
    with open_known_ids(TARGET, tmp_path, dry_run=False) as known:
        known.written({"e1": ("s1", "1")})
    readable = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    with pytest.raises(UsageError, match="nothing more is sent to TARGET"):
        KnownIds(readable, path).written({"e2": ("s2", "1")})
    readable.close()


def test_a_clock_that_was_set_back_makes_no_run_wait():
    begun = time.monotonic()
    missing = wait_until_found(lambda _: (), ["e1"], time.time() + 86400.0, 0.2)
    assert missing == {"e1"}
    assert time.monotonic() - begun < 5.0


def test_the_budget_begins_anew_when_something_is_written():
    budget = RetryBudget(0.3)
    assert budget.wait(1, 0.2, "503")
    assert not budget.wait(2, 0.2, "503")
    budget.progress()
    assert budget.wait(1, 0.2, "503")
