"""Files that are whole or absent, in folders of others, and on a disk that is full."""

import errno
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fhircryo.errors import FhircryoError, TargetError, UsageError
from fhircryo.fhir.auth.key_files import write_key_pair
from fhircryo.publish.target_lock import target_lock
from fhircryo.research.pseudonyms import Pseudonyms, write_key
from fhircryo.runs.sync.state_file import open_state
from fhircryo.storage import atomic
from fhircryo.storage.atomic import PUBLIC, write_whole
from fhircryo.storage.work_folder import work_folder
from tests.unit.inputs import AS_OF, cli, folder, procedure

URL = "https://fhir.hospital.example/r4"


def a_key_pair(folder: Path) -> None:
    write_key_pair(folder / "key.pem", folder / "jwks.json", "ES384")


def a_pseudonyms_key(folder: Path) -> None:
    write_key(folder / "key", Pseudonyms.at_random())


def a_whole_file(folder: Path) -> None:
    write_whole(folder / "metrics.prom", b"x" * 100_000, PUBLIC)


WRITERS = pytest.mark.parametrize("write", [a_key_pair, a_pseudonyms_key, a_whole_file])


@pytest.fixture
def victim(tmp_path) -> Path:
    """A file that must not change."""
    file = tmp_path / "victim"
    file.write_text("precious")
    file.chmod(0o600)
    return file


@pytest.fixture
def place(tmp_path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def test_who_exchanges_the_temporary_file_gets_nobody_elses_file_opened(place, victim, monkeypatch):
    """In a folder that others can write, as the one of Prometheus's collector, and as root."""
    sync = os.fsync

    def exchanged(descriptor: int) -> None:
        sync(descriptor)
        for unfinished in place.glob(".metrics*"):
            unfinished.unlink()
            unfinished.symlink_to(victim)

    monkeypatch.setattr(os, "fsync", exchanged)
    write_whole(place / "metrics.prom", b"1", PUBLIC)
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600
    assert victim.read_text() == "precious"


def test_a_link_in_the_place_of_the_file_is_replaced(place, victim):
    (place / "metrics.prom").symlink_to(victim)
    write_whole(place / "metrics.prom", b"1", PUBLIC)
    assert victim.read_text() == "precious"
    assert (place / "metrics.prom").read_bytes() == b"1"
    assert not (place / "metrics.prom").is_symlink()
    assert stat.S_IMODE((place / "metrics.prom").stat().st_mode) == 0o644


def test_a_second_name_of_the_file_keeps_its_content(place, victim):
    (place / "metrics.prom").hardlink_to(victim)
    write_whole(place / "metrics.prom", b"1", PUBLIC)
    assert victim.read_text() == "precious"


def test_temporary_names_cannot_be_predicted(place, monkeypatch):
    seen: list[str] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        seen.extend(one.name for one in place.iterdir() if one.name != "metrics.prom")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    for _ in range(20):
        write_whole(place / "metrics.prom", b"1")
    assert len(set(seen)) == 20


@WRITERS
def test_the_name_is_on_the_disk_too(write, place, monkeypatch):
    synced: list[bool] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            assert os.path.samestat(status, place.stat())
            assert not list(place.glob(".*"))  # after the file got its name
        synced.append(stat.S_ISDIR(status.st_mode))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    write(place)
    assert synced[:2] == [False, True]


# ------------------------------------------------------------------ a full disk


@WRITERS
def test_a_full_disk_is_said_and_nothing_stays(write, place, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(FhircryoError, match="No space left on device"):
        write(place)
    assert list(place.iterdir()) == []


def test_a_second_file_that_cannot_be_written_takes_the_first_away(place):
    (place / "jwks.json").mkdir()
    with pytest.raises(FhircryoError):
        a_key_pair(place)
    assert [one.name for one in place.iterdir()] == ["jwks.json"]


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of one megabyte, which a test can fill."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a disk needs root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, *, but: int = 0) -> None:
    with (disk / "ballast").open("wb") as file:
        room = os.statvfs(disk)
        file.write(b"x" * (room.f_bavail - but) * room.f_frsize)


@WRITERS
def test_a_really_full_disk(write, small_disk):
    fill(small_disk)
    with pytest.raises(FhircryoError, match="No space left on device"):
        write(small_disk)
    assert [one.name for one in small_disk.iterdir()] == ["ballast"]


def use_lock(disk: Path) -> None:
    with target_lock(URL, disk):
        pass


def use_state(disk: Path) -> None:
    with open_state(disk / "sync-1.sqlite"):
        pass


def use_work(disk: Path) -> None:
    with work_folder(disk / "out", URL) as work:
        write_whole(work / "page", b"x" * 8192)


@pytest.mark.parametrize("blocks", [0, 1, 2, 3])
@pytest.mark.parametrize("use", [use_lock, use_state, use_work])
def test_on_a_full_disk_every_use_ends_in_words_or_well(
    use: Callable[[Path], None], blocks, small_disk
):
    fill(small_disk, but=blocks)
    refused = ""
    try:
        use(small_disk)
    except (UsageError, TargetError) as error:
        refused = str(error)
    if refused:
        assert str(small_disk) in refused
        assert any(words in refused for words in ("No space left", "full", "disk"))
    else:
        assert use is use_lock or blocks
    assert not list(small_disk.rglob("*.tmp"))
    assert not [one for one in small_disk.rglob(".*") if one.is_file()]
    # Room is made, and everything works as if nothing had been.
    (small_disk / "ballast").unlink()
    use(small_disk)


@pytest.mark.parametrize("command", ["compute", "cohort"])
def test_an_output_folder_on_a_full_disk(command, small_disk, tmp_path):
    fill(small_disk, but=1)
    source = folder(tmp_path / "in", {"Procedure.ndjson": [procedure()]})
    ran = cli(command, source, small_disk / "out", "--as-of", AS_OF)
    assert ran.code == 5
    assert "No space left on device" in ran.err
    assert {one.name for one in small_disk.iterdir()} <= {"ballast", "out.key"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")
def test_a_device_is_not_replaced(place):
    """Who wants no metrics may name /dev/null; root would take it away from everybody."""
    device = place / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except OSError:
        pytest.skip("devices cannot be made here")
    with pytest.raises(TargetError, match="it is a device"):
        write_whole(device, b"content")
    assert device.is_char_device()
    assert [path.name for path in place.iterdir()] == ["null"]


def test_a_link_among_devices_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.tempfile, "mkstemp", lambda **_: pytest.fail("it is tried"))
    with pytest.raises(TargetError, match="it is a device"):
        write_whole(Path("/dev/stdout"), b"content")
