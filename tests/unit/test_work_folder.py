"""The private folder beside a target: whose it is, what stays in it, who may work there."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from fhircryo.errors import LockedError, UsageError
from fhircryo.storage.work_folder import work_folder, work_folder_of

SERVER = "https://fhir.hospital.example/r4"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out"


def break_off(target):
    with work_folder(target, SERVER) as work:
        (work / "page").write_text("read")
        raise RuntimeError


def broken_off(target):
    with pytest.raises(RuntimeError):
        break_off(target)


def test_it_is_removed_when_all_went_well(target):
    with work_folder(target, SERVER) as work:
        assert work == work_folder_of(target)
        assert work.stat().st_mode & 0o777 == 0o700
        assert all(one.stat().st_mode & 0o077 == 0 for one in work.iterdir())
        (work / "page").write_text("read")
    assert not work.exists()


def test_what_was_read_stays_for_the_next_run(target):
    broken_off(target)
    with work_folder(target, SERVER) as work:
        assert (work / "page").read_text() == "read"


def test_nothing_stays_of_nothing(target):
    with pytest.raises(RuntimeError), work_folder(target, SERVER):
        raise RuntimeError
    assert not work_folder_of(target).exists()


def test_another_server_begins_anew(target):
    broken_off(target)
    with work_folder(target, "https://other.example/r4") as work:
        assert not (work / "page").exists()


@pytest.mark.parametrize("hours", [25, -1])
def test_what_is_too_old_or_of_tomorrow_is_read_again(hours, target):
    broken_off(target)
    mark = work_folder_of(target) / "fhircryo-work.json"
    begun = datetime.now(UTC) - timedelta(hours=hours)
    mark.write_text(json.dumps({**json.loads(mark.read_text()), "begun": begun.isoformat()}))
    with work_folder(target, SERVER) as work:
        assert not (work / "page").exists()


def test_one_run_at_a_time(target):
    with work_folder(target, SERVER) as work:
        with pytest.raises(LockedError, match="another run"), work_folder(target, SERVER):
            pass
        assert work.exists()


@pytest.mark.parametrize("what", ["file", "link", "folder"])
def test_what_is_not_ours_is_left_alone(what, target, tmp_path):
    place = work_folder_of(target)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o755)
    (elsewhere / "mine").write_text("mine")
    if what == "file":
        place.write_text("mine")
    elif what == "link":
        place.symlink_to(elsewhere)
    else:
        elsewhere.rename(place)
    with pytest.raises(UsageError, match="not made by fhircryo"), work_folder(target, SERVER):
        pass
    assert place.exists()
    if what != "file":
        assert [one.name for one in place.iterdir()] == ["mine"]
    if what == "folder":
        assert place.stat().st_mode & 0o777 == 0o755
